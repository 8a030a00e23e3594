#include <gtest/gtest.h>

#include "envoy/config/listener/v3/listener.pb.h"
#include "google/protobuf/descriptor.h"

// Types that stand only inside an Any must be in the program: a static link drops them otherwise.
TEST(EnvoyProtos, TypesUsedOnlyInsideAnyAreLinked) {
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  for (const char* name : {"envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
                           "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                           "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"}) {
    EXPECT_NE(pool->FindMessageTypeByName(name), nullptr) << name;
  }
}
