// Configuration from files: read, watched, and kept when it turns bad.
#include "proxy/feed/sources.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace mizzen::proxy {
namespace {

constexpr Duration kLimit = std::chrono::seconds(10);

class Files : public ::testing::Test {
 protected:
  Files() {
    std::string made = std::filesystem::temp_directory_path() / "mizzen-files-XXXXXX";
    folder_ = ::mkdtemp(made.data());
  }
  ~Files() override { std::filesystem::remove_all(folder_); }

  // As Kubernetes and editors do it: another file takes the name.
  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / (name + ".new")) << text;
    std::filesystem::rename(folder_ / (name + ".new"), folder_ / name);
  }
  void start() {
    auto parsed = parse_bootstrap(
        "{node: {id: n, cluster: c}, dynamic_resources: {cds_config: "
        "{path_config_source: {path: " +
        (folder_ / "cds.yaml").string() + "}}}}");
    ASSERT_TRUE(parsed) << parsed.error().message;
    bootstrap_ = std::move(*parsed);
    sources_.emplace(loop_, feed_, bootstrap_);
    Status started = sources_->start();
    ASSERT_TRUE(started) << started.error().message;
  }
  std::string clusters(const std::string& version) {
    return R"(
resources:
- '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster
  name: a
  type: EDS
  alt_stat_name: )" +
           version + R"(
  eds_cluster_config:
    eds_config: {path_config_source: {path: )" +
           (folder_ / "eds.json").string() + "}}\n";
  }
  std::string endpoints(int port) {
    return R"({"resources": [{"@type":
      "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", "cluster_name": "a",
      "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address":
        {"address": "::1", "port_value": )" +
           std::to_string(port) + "}}}}]}]}]}";
  }
  std::uint16_t port() const {
    const ClusterEntry* entry = latest_ ? latest_->cluster("a") : nullptr;
    if (entry == nullptr || entry->endpoints->localities.empty()) return 0;
    return entry->endpoints->localities[0].endpoints[0].address.port;
  }
  bool until(const std::function<bool()>& done) { return loop_.run_until(done, kLimit); }

  std::filesystem::path folder_;
  io::EpollLoop loop_;
  SnapshotRef latest_;
  ConfigFeed feed_{loop_, [this](SnapshotRef snapshot) { latest_ = std::move(snapshot); }};
  Bootstrap bootstrap_;
  std::optional<ConfigSources> sources_;
};

TEST_F(Files, AreFollowed) {
  write("cds.yaml", clusters("one"));
  write("eds.json", endpoints(81));
  start();
  ASSERT_TRUE(until([&] { return port() == 81; }));
  EXPECT_TRUE(sources_->initialized());
  write("eds.json", endpoints(82));
  ASSERT_TRUE(until([&] { return port() == 82; }));
  write("cds.yaml", "resources: [{");
  write("cds.yaml", clusters("two"));
  ASSERT_TRUE(until([&] { return latest_->cluster("a")->cluster->stat_name == "two"; }));
  EXPECT_EQ(port(), 82);
  write("cds.yaml", "resources: []");
  ASSERT_TRUE(until([&] { return latest_->cluster("a") == nullptr; }));
}

TEST_F(Files, AFileThatComesLateIsWaitedFor) {
  start();
  for (int i = 0; i < 5; ++i) loop_.run_once(std::chrono::milliseconds(1));
  EXPECT_FALSE(sources_->initialized());
  write("eds.json", endpoints(81));
  write("cds.yaml", clusters("one"));
  ASSERT_TRUE(until([&] { return port() == 81; }));
}

TEST_F(Files, CertificatesThatARuleNamesAreFollowed) {
  const auto cluster = [this](const std::string& name) {
    return R"(
resources:
- '@type': type.googleapis.com/envoy.config.cluster.v3.Cluster
  name: )" +
           name +
           R"(
  type: STATIC
  transport_socket:
    name: envoy.transport_sockets.tls
    typed_config:
      '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
      common_tls_context:
        tls_certificates:
        - certificate_chain: {filename: )" +
           (folder_ / "cert.pem").string() + R"(}
          private_key: {filename: )" +
           (folder_ / "key.pem").string() + "}\n";
  };
  const auto chain = [this] {
    const ClusterEntry* entry = latest_ ? latest_->cluster("a") : nullptr;
    return entry == nullptr ? "" : entry->cluster->tls->common.certificate->certificate_chain;
  };
  write("cert.pem", "first");
  write("key.pem", "key");
  write("cds.yaml", cluster("a"));
  start();
  ASSERT_TRUE(until([&] { return chain() == "first"; }));
  write("cert.pem", "second");
  ASSERT_TRUE(until([&] { return chain() == "second"; }));
  // One that is gone, or empty, takes nothing away.
  write("cert.pem", "");
  write("key.pem", "other");
  std::filesystem::remove(folder_ / "key.pem");
  write("cert.pem", "third");
  write("key.pem", "other");
  ASSERT_TRUE(until([&] { return chain() == "third"; }));
  EXPECT_EQ(latest_->cluster("a")->cluster->tls->common.certificate->private_key, "other");
}

TEST(Origins, WhatCannotBeReadIsNamed) {
  auto rest = parse_bootstrap(R"(
node: {id: n, cluster: c}
dynamic_resources:
  cds_config: {api_config_source: {api_type: REST, cluster_names: [x]}}
)");
  ASSERT_FALSE(rest);
  EXPECT_EQ(rest.error().message,
            "dynamic_resources.cds_config: api_config_source: api_type: REST is not supported by "
            "this proxy; GRPC and DELTA_GRPC are");
  auto missing = parse_bootstrap("{node: {id: n}, dynamic_resources: {lds_config: {ads: {}}}}");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "dynamic_resources: `ads` is said, but ads_config is missing");
}

TEST(Bootstraps, AnOverlayIsMerged) {
  BootstrapFlags flags;
  flags.overlay = "{admin: {address: {socket_address: {address: 127.0.0.1, port_value: 7}}}}";
  auto made = parse_bootstrap("{node: {id: n, cluster: c}}", flags);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->node.id, "n");
  EXPECT_EQ(made->admin->port, 7);
}

}  // namespace
}  // namespace mizzen::proxy
