// `mizzen-samples fortio`: a load generator for HTTP that answers to fortio's command line.
#pragma once

#include <string>
#include <vector>

#include "samples/service.h"

namespace mizzen::samples::load {

// load, curl, version, help; the exit code. `server` is a service like the others.
int fortio(const std::vector<std::string>& words);

// Echo on every path (?status=503:50,200:50 &delay=10ms &size=100 change the answer), /debug shows
// the request, /fortio/ is a page to start a load from.
Handler fortio_server(Service& service);

}  // namespace mizzen::samples::load
