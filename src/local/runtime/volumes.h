// Volumes of a pod as directories of the sandbox, bound into its containers.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "local/apiserver/store.h"
#include "local/runtime/environment.h"
#include "local/runtime/launch.h"

namespace mizzen::local {

// A token for the pod's service account with this audience ("" is the API server's own).
using TokenSource =
    std::function<Result<std::string>(const std::string& audience, std::int64_t seconds)>;

struct VolumeContext {
  const Store* store = nullptr;
  const Json* pod = nullptr;
  PodPlace place;
  std::string dir;  // of this pod's volumes
  TokenSource token;
};

// Makes every volume of the pod or brings its content up to date (ConfigMaps, Secrets, tokens,
// downward API; files are replaced whole). `first` also makes emptyDirs and fails on what is
// missing; later on a source that has gone leaves the files as they are. Errors: kNotFound (wait
// for it), kUnsupported (named kind of volume).
Status fill_volumes(const VolumeContext& context, bool first);

// The mounts of one container. Errors: kInvalid for a name that is no volume, kUnsupported for a
// mount propagation.
Result<std::vector<Mount>> container_mounts(const VolumeContext& context, const Json& container,
                                            const Environment& environment);

// The mount and volume that every pod with a service account token gets, added to `pod` unless it
// is there or automountServiceAccountToken is false (on the pod, or its account).
void add_token_volume(const Store& store, Json& pod);

void remove_volumes(const std::string& dir);

}  // namespace mizzen::local
