#include "api/schemas.h"

void register_envoy_protos();
void register_istio_protos();

namespace mizzen::api {

void register_schemas() {
  register_envoy_protos();
  register_istio_protos();
}

}  // namespace mizzen::api
