// The text of `x explain`: what proxies said about a request (their admin page /explain), with the
// names of the objects behind it. Pure.
#pragma once

#include <string>
#include <string_view>

#include "kube/client.h"

namespace mizzen::cli {

using kube::Json;

// One proxy's answer as numbered steps, from `step` on, which is moved on.
std::string explain_text(const Json& answer, int& step);

// "/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews" as
// "VirtualService default/reviews"; other text as it is.
std::string object_of(std::string_view config);

}  // namespace mizzen::cli
