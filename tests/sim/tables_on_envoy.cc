// tables-on-envoy ENVOY FOLDER [ROWS]: the tables of FOLDER on a stock Envoy (the program ENVOY).
// What control makes of every case is served to it by ADS, and all of it must be acknowledged, with
// the listeners' addresses changed alone (to free ports of loopback); then the clusters lead to
// backends of this program, in plain text, and a sample of ROWS rows (50) is sent through it and
// must end as the rows say.
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "api/names.h"
#include "base/strings.h"
#include "control/serve/stream_protocol.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "mesh.h"
#include "net/grpc.h"
#include "net/http_server.h"
#include "sockets.h"
#include "traffic.h"

namespace mizzen::sim {
namespace {

namespace fs = std::filesystem;

constexpr Duration kPatience = std::chrono::seconds(30);
constexpr Duration kQuiet = std::chrono::milliseconds(150);
// Envoy refuses a port that a listener of the case before still has.
constexpr std::uint16_t kFirstPort = 19000;
constexpr std::uint16_t kLastPort = 29000;

template <class Message>
xds::ResourceRef resource_of(const std::string& name, const Message& message,
                             const std::string& endpoints = {}) {
  auto out = std::make_shared<xds::Resource>();
  out->name = name;
  out->bytes = message.SerializeAsString();
  out->version = xds::content_version(out->bytes);
  out->endpoints = endpoints;
  return out;
}

// The secrets that an agent would serve beside it.
std::shared_ptr<const xds::World> agent_world() {
  namespace tls = envoy::extensions::transport_sockets::tls::v3;
  const Certified own = certify("spiffe://cluster.local/ns/default/sa/default");
  auto secrets = std::make_shared<xds::ResourceMap>();
  tls::Secret pair;
  pair.set_name(std::string(api::kWorkloadSecret));
  pair.mutable_tls_certificate()->mutable_certificate_chain()->set_inline_string(own.chain_pem);
  pair.mutable_tls_certificate()->mutable_private_key()->set_inline_string(own.key_pem);
  (*secrets)[pair.name()] = resource_of(pair.name(), pair);
  tls::Secret root;
  root.set_name(std::string(api::kRootSecret));
  root.mutable_validation_context()->mutable_trusted_ca()->set_inline_string(root_pem());
  (*secrets)[root.name()] = resource_of(root.name(), root);
  auto world = std::make_shared<xds::World>();
  world->version = "1";
  world->types[std::string(api::kSecretType)] = std::move(secrets);
  return world;
}

// A child process that ends with this object.
class Child {
 public:
  explicit Child(std::vector<std::string> arguments) {
    pid_ = fork();
    if (pid_ != 0) return;
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(127);
  }
  ~Child() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  bool alive() const { return waitpid(pid_, nullptr, WNOHANG) == 0; }

 private:
  pid_t pid_ = -1;
};

// The control plane's end: one ADS stream, and as many of SDS as Envoy likes.
class Ads {
 public:
  explicit Ads(io::Loop& loop) : agent_(agent_world()) {
    grpc_.streaming(std::string(api::kSotwAdsMethod),
                    [this](std::shared_ptr<net::GrpcStream> call) { take(std::move(call)); });
    grpc_.streaming(std::string(api::kSotwSdsMethod),
                    [this](std::shared_ptr<net::GrpcStream> call) {
                      serve(std::move(call), control::state_of_the_world_protocol("sds"), agent_);
                    });
    server_ = std::make_unique<net::HttpServer>(
        loop, net::HttpServerOptions{.idle_timeout = Duration::zero()},
        [this](std::shared_ptr<net::Exchange> exchange) {
          if (!grpc_.handle(exchange)) exchange->respond(404, {}, "");
        });
    address_ = *server_->listen(io::Address::loopback(0));
  }

  std::uint16_t port() const { return address_.port(); }
  bool connected() const { return protocol_ != nullptr; }
  const std::vector<std::string>& errors() const { return errors_; }

  void offer(std::shared_ptr<const xds::World> world) {
    world_ = std::move(world);
    if (!protocol_) return;
    protocol_->offer(world_);
    send();
  }
  // All that was sent has been answered.
  bool settled() const {
    if (!protocol_) return false;
    const auto types = protocol_->status();
    const bool listeners = std::ranges::any_of(types, [](const xds::TypeStatus& type) {
      return type.type_url == api::kListenerType && !type.nonce_acked.empty();
    });
    return listeners && std::ranges::all_of(types, [&](const xds::TypeStatus& type) {
             return type.nonce_sent == type.nonce_acked || nothing_of(type.type_url);
           });
  }

 private:
  void take(std::shared_ptr<net::GrpcStream> call) {
    call_ = call;
    protocol_ = control::state_of_the_world_protocol("ads");
    if (world_) protocol_->offer(world_);
    call->on_message([this](std::string_view message) {
      const auto received = protocol_->receive(message);
      if (!received) {
        errors_.push_back(received.error().message);
        return;
      }
      if (received->kind == xds::Received::Kind::kNack) {
        errors_.push_back(received->type_url + ": " + received->error);
      }
      send();
    });
  }
  void send() {
    const auto call = call_.lock();
    while (call) {
      const auto response = protocol_->next();
      if (!response) return;
      call->send(*response);
    }
  }
  // An empty answer about what it does not watch any more, Envoy does not acknowledge.
  bool nothing_of(const std::string& type_url) const {
    const auto found = world_->types.find(type_url);
    return found == world_->types.end() || found->second->empty();
  }
  static void serve(std::shared_ptr<net::GrpcStream> call,
                    std::shared_ptr<control::StreamProtocol> protocol,
                    const std::shared_ptr<const xds::World>& world) {
    protocol->offer(world);
    call->on_message([weak = std::weak_ptr(call), protocol](std::string_view message) {
      const auto call = weak.lock();
      if (!call || !protocol->receive(message)) return;
      while (const auto response = protocol->next()) call->send(*response);
    });
  }

  net::GrpcServer grpc_;
  std::unique_ptr<net::HttpServer> server_;
  io::Address address_;
  std::shared_ptr<const xds::World> agent_;
  std::shared_ptr<const xds::World> world_;
  std::shared_ptr<control::StreamProtocol> protocol_;
  std::weak_ptr<net::GrpcStream> call_;
  std::vector<std::string> errors_;
};

// A case's resources as this machine can serve them.
class LocalWorld {
 public:
  // All as it is, but for the listeners' addresses.
  LocalWorld(const Mesh& mesh, int number) : number_(number) {
    world_ = std::make_shared<xds::World>(mesh.world());
    world_->version = fmt::format("{}", number);
    listeners(mesh);
  }
  // Backends of `traffic` in the place of all endpoints, in plain text.
  void lead_to(Traffic& traffic) {
    world_ = std::make_shared<xds::World>(*world_);
    world_->version = fmt::format("{} local", number_);
    clusters(traffic);
  }
  std::shared_ptr<const xds::World> world() const { return world_; }
  // 0 for a listener that could not be moved.
  std::uint16_t port_of(const std::string& listener) const {
    const auto found = ports_.find(listener);
    return found == ports_.end() ? 0 : found->second;
  }

 private:
  static void fill(const io::Address& address,
                   envoy::config::endpoint::v3::ClusterLoadAssignment* assignment) {
    auto* socket = assignment->add_endpoints()
                       ->add_lb_endpoints()
                       ->mutable_endpoint()
                       ->mutable_address()
                       ->mutable_socket_address();
    socket->set_address(address.ip());
    socket->set_port_value(address.port());
  }

  void clusters(Traffic& traffic) {
    auto moved = std::make_shared<xds::ResourceMap>();
    auto endpoints = std::make_shared<xds::ResourceMap>();
    const auto& own = *world_->types.at(std::string(api::kEndpointType));
    for (const auto& [name, resource] : *world_->types.at(std::string(api::kClusterType))) {
      envoy::config::cluster::v3::Cluster cluster;
      cluster.ParseFromString(resource->bytes);
      cluster.clear_transport_socket();
      cluster.clear_transport_socket_matches();
      cluster.clear_upstream_bind_config();
      // All backends speak HTTP/1.
      cluster.clear_typed_extension_protocol_options();
      if (cluster.type() == envoy::config::cluster::v3::Cluster::EDS) {
        envoy::config::endpoint::v3::ClusterLoadAssignment assignment;
        const std::string eds = cluster.eds_cluster_config().service_name();
        const auto found = own.find(eds);
        if (found != own.end()) assignment.ParseFromString(found->second->bytes);
        const bool empty = assignment.endpoints().empty();
        assignment.clear_endpoints();
        assignment.set_cluster_name(eds);
        if (!empty) fill(traffic.backend(name), &assignment);
        (*endpoints)[eds] = resource_of(eds, assignment);
        (*moved)[name] = resource_of(name, cluster, eds);
        continue;
      }
      if (cluster.type() != envoy::config::cluster::v3::Cluster::STATIC) {
        cluster.set_type(envoy::config::cluster::v3::Cluster::STATIC);
        cluster.set_lb_policy(envoy::config::cluster::v3::Cluster::ROUND_ROBIN);
        cluster.clear_cleanup_interval();
        cluster.mutable_load_assignment()->clear_endpoints();
        cluster.mutable_load_assignment()->set_cluster_name(name);
        fill(traffic.backend(name), cluster.mutable_load_assignment());
      }
      (*moved)[name] = resource_of(name, cluster);
    }
    world_->types[std::string(api::kClusterType)] = std::move(moved);
    world_->types[std::string(api::kEndpointType)] = std::move(endpoints);
  }

  void listeners(const Mesh& mesh) {
    auto moved = std::make_shared<xds::ResourceMap>();
    static std::uint16_t port = kFirstPort;
    for (const auto& [name, resource] : *mesh.world().types.at(std::string(api::kListenerType))) {
      envoy::config::listener::v3::Listener listener;
      listener.ParseFromString(resource->bytes);
      listener.clear_use_original_dst();
      if (mesh.live()->listener(name) && looks_at_destination(*mesh.live()->listener(name))) {
        tell_destination(&listener);
      }
      listener.mutable_bind_to_port()->set_value(true);
      auto* socket = listener.mutable_address()->mutable_socket_address();
      socket->set_address("127.0.0.1");
      socket->set_port_value(port);
      ports_[name] = port;
      port = port == kLastPort ? kFirstPort : static_cast<std::uint16_t>(port + 1);
      (*moved)[name] = resource_of(name, listener);
    }
    world_->types[std::string(api::kListenerType)] = std::move(moved);
  }

  static void tell_destination(envoy::config::listener::v3::Listener* listener) {
    envoy::extensions::filters::listener::proxy_protocol::v3::ProxyProtocol config;
    config.set_allow_requests_without_proxy_protocol(true);
    auto* filter = listener->add_listener_filters();
    filter->set_name("envoy.filters.listener.proxy_protocol");
    filter->mutable_typed_config()->PackFrom(config);
    for (int i = listener->listener_filters_size() - 1; i > 0; --i) {
      listener->mutable_listener_filters()->SwapElements(i, i - 1);
    }
  }

  int number_;
  std::shared_ptr<xds::World> world_;
  std::map<std::string, std::uint16_t> ports_;
};

std::string bootstrap(std::uint16_t port) {
  const auto cluster = [port](std::string_view name) {
    return fmt::format(
        R"({{"name":"{}","type":"STATIC","connect_timeout":"5s","typed_extension_protocol_options":{{)"
        R"("envoy.extensions.upstreams.http.v3.HttpProtocolOptions":{{"@type":)"
        R"("type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",)"
        R"("explicit_http_config":{{"http2_protocol_options":{{}}}}}}}},"load_assignment":{{)"
        R"("cluster_name":"{}","endpoints":[{{"lb_endpoints":[{{"endpoint":{{"address":)"
        R"({{"socket_address":{{"address":"127.0.0.1","port_value":{}}}}}}}}}]}}]}}}})",
        name, name, port);
  };
  return fmt::format(
      R"({{"node":{{"id":"sidecar~10.1.0.1~client.default~default.svc.cluster.local","cluster":"t"}},)"
      R"("dynamic_resources":{{"ads_config":{{"api_type":"GRPC","transport_api_version":"V3",)"
      R"("grpc_services":[{{"envoy_grpc":{{"cluster_name":"xds"}}}}]}},)"
      R"("cds_config":{{"ads":{{}},"resource_api_version":"V3"}},)"
      R"("lds_config":{{"ads":{{}},"resource_api_version":"V3"}}}},)"
      R"("static_resources":{{"clusters":[{},{}]}}}})",
      cluster("xds"), cluster(api::kSdsCluster));
}

// Whether the row can be asked of another proxy: what it got and answered, nothing of our own.
bool portable(const Row& row) {
  if (!row.has("ask") && !row.has("connect")) return false;
  for (const char* key : {"share", "backend", "slow", "timeout", "retries", "hashed", "shows",
                          "via", "delayed", "mirrored"}) {
    if (row.has(key)) return false;
  }
  return true;
}

class Run {
 public:
  Run(std::string envoy, fs::path folder, int rows)
      : envoy_(std::move(envoy)), folder_(std::move(folder)), rows_(rows), ads_(traffic_.loop()) {}

  int all() {
    const fs::path file = fs::temp_directory_path() / fmt::format("envoy-{}.json", getpid());
    std::ofstream(file) << bootstrap(ads_.port());
    const Child child({envoy_, "-c", file.string(), "--concurrency", "1", "-l", "error",
                       "--use-dynamic-base-id"});
    std::vector<fs::path> tables;
    for (const auto& entry : fs::directory_iterator(folder_)) tables.push_back(entry.path());
    std::ranges::sort(tables);
    count_portable(tables);
    for (const fs::path& path : tables) {
      const auto table = read_table(path.string());
      if (!table) return complain(table.error().message);
      for (const Case& one : table->cases) {
        if (!child.alive()) return complain("Envoy has ended");
        if (!one.rows.empty()) run(*table, one);
      }
    }
    fs::remove(file);
    std::printf("%d cases acknowledged whole, %d rows routed as expected; %d failed\n", cases_,
                passed_, failed_);
    return failed_ == 0 && passed_ >= rows_ ? 0 : 1;
  }

 private:
  int complain(const std::string& text) {
    std::printf("FAIL  %s\n", text.c_str());
    std::fflush(stdout);
    ++failed_;
    return 1;
  }

  // Takes every so manieth portable row, so that all tables have their share.
  void count_portable(const std::vector<fs::path>& tables) {
    int all = 0;
    for (const fs::path& path : tables) {
      const auto table = read_table(path.string());
      if (!table) continue;
      for (const Case& one : table->cases) {
        all += static_cast<int>(std::ranges::count_if(one.rows, portable));
      }
    }
    every_ = std::max(1, all / std::max(1, rows_ + rows_ / 5));
  }

  void run(const Table& table, const Case& one) {
    const auto mesh = Mesh::make(table, one);
    if (!mesh) {
      complain(mesh.error().message);
      return;
    }
    LocalWorld local(**mesh, ++number_);
    if (!offered(one, local.world())) return;
    ++cases_;
    if (std::ranges::none_of(one.rows, portable)) return;
    local.lead_to(traffic_);
    if (!offered(one, local.world())) return;
    for (const Row& row : one.rows) {
      if (portable(row) && ++seen_ % every_ == 0) send(**mesh, local, row);
    }
  }

  // False when it is refused or not answered: that was told.
  bool offered(const Case& one, std::shared_ptr<const xds::World> world) {
    const std::size_t before = ads_.errors().size();
    ads_.offer(std::move(world));
    const bool settled = settle(before);
    if (settled && ads_.errors().size() == before) return true;
    complain(one.name + ": " + (settled ? ads_.errors().back() : "not acknowledged in time"));
    return false;
  }

  // What is answered may lead to further subscriptions: quiet for a while is settled. True as well
  // when there are more errors than `before`.
  bool settle(std::size_t before) {
    const auto refused = [&] { return ads_.errors().size() > before; };
    const MonoTime until = traffic_.loop().now() + kPatience;
    while (traffic_.loop().now() < until) {
      const auto done = [&] { return refused() || ads_.settled(); };
      if (!traffic_.loop().run_until(done, kPatience)) return false;
      const auto busy = [&] { return refused() || !ads_.settled(); };
      if (!traffic_.loop().run_until(busy, kQuiet) || refused()) return true;
    }
    return false;
  }

  void send(const Mesh& mesh, const LocalWorld& local, const Row& row) {
    const Ask ask = parse_ask(row.text(row.has("ask") ? "ask" : "connect"));
    const auto listener = mesh.listener(mesh.destination(ask));
    const std::uint16_t port = listener ? local.port_of(listener->name) : 0;
    if (port == 0 || listener->name == api::kVirtualOutbound) return;
    const bool told = looks_at_destination(*listener);
    if (told && row.has("ask")) return;
    const std::string preamble = told ? proxy_header(mesh.destination(ask)) : std::string();
    // A listener that was changed may need a moment until its socket listens.
    std::vector<std::string> wrong;
    const MonoTime until = traffic_.loop().now() + std::chrono::seconds(10);
    do {
      wrong = differences(row, ask, traffic_.send(io::Address::loopback(port), row, ask, preamble));
      traffic_.loop().run_until([] { return false; },
                                wrong.empty() ? Duration::zero() : std::chrono::milliseconds(50));
    } while (!wrong.empty() && traffic_.loop().now() < until);
    if (wrong.empty()) {
      ++passed_;
    } else {
      complain(row.name + "\n      " + join(wrong, "\n      "));
    }
  }

  std::string envoy_;
  fs::path folder_;
  int rows_;
  Traffic traffic_;
  Ads ads_;
  int number_ = 0;
  int every_ = 1;
  int seen_ = 0;
  int cases_ = 0;
  int passed_ = 0;
  int failed_ = 0;
};

}  // namespace
}  // namespace mizzen::sim

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: tables-on-envoy ENVOY FOLDER [ROWS]\n");
    return 64;
  }
  signal(SIGPIPE, SIG_IGN);
  const int rows = argc > 3 ? mizzen::parse_int<int>(argv[3]).value_or(50) : 50;
  return mizzen::sim::Run(argv[1], argv[2], rows).all();
}
