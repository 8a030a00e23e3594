// mizzen-local, which stands beside this program.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mizzen::cli {

// Becomes `mizzen-local ARGUMENT...`; returns only when that fails.
int become_local(const std::vector<std::string>& arguments);
// Runs it with this program's terminal; its exit code.
int run_local(const std::vector<std::string>& arguments);
// Its standard output; kInternal when it fails.
Result<std::string> ask_local(const std::vector<std::string>& arguments);

}  // namespace mizzen::cli
