// Where a cluster keeps its state, and who holds it.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "io/unique_fd.h"

namespace mizzen::local {

// MIZZEN_HOME, or mizzen in XDG_STATE_HOME or ~/.local/state. Made when missing, for its owner
// only.
Result<std::string> state_dir();

// Several clusters of one person: a profile's state is in profiles/NAME of that. "minikube" is the
// one without a folder of its own. Call first.
void use_profile(const std::string& name);
const std::string& profile_name();
// For all profiles: links and the kubeconfig of names.h. Not made by this.
Result<std::string> names_dir();

// The lock that a running cluster holds. Errors: kExists when another process has it.
Result<io::UniqueFd> take_lock(const std::string& dir);
// The process that holds it (the one outside the sandbox); 0: no cluster runs.
pid_t lock_holder(const std::string& dir);

// The folder of this program, without trailing slash.
std::string program_dir();

}  // namespace mizzen::local
