#include "local/apiserver/pod_streams.h"

#include "local/apiserver/streams.h"

namespace mizzen::local {
void serve_exec(io::Loop&, PodAccess&, const ContainerRef&, const Target&, std::shared_ptr<net::Exchange> x) { respond(*x, method_not_allowed()); }
void serve_port_forward(io::Loop&, PodAccess&, const Target&, std::shared_ptr<net::Exchange> x) { respond(*x, method_not_allowed()); }
void serve_proxy(io::Loop&, Store&, PodAccess&, const Target&, std::shared_ptr<net::Exchange> x) { respond(*x, method_not_allowed()); }
}  // namespace mizzen::local
