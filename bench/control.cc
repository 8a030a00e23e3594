// The control plane under a mesh of simulated proxies: how long a changed endpoint takes until the
// last of them has acknowledged it, what a proxy is told, and what that costs mizzend. Runs against
// a real mizzend and a real API server (bench/control starts both); nothing is faked but the
// proxies, which are delta xDS clients that accept everything.
// usage: bench-control KUBECONFIG prepare    what a control plane needs to start
//        bench-control KUBECONFIG XDS_PORT MIZZEND_PID SERVICES PROXIES CALLS ROUNDS [everything]
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "api/names.h"
#include "config/crd.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "io/loop.h"
#include "kube/client.h"
#include "kube/config.h"
#include "net/grpc.h"
#include "net/http_client.h"
#include "xds/client.h"

namespace mizzen::bench {
namespace {

using Json = nlohmann::json;
using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;

constexpr int kPort = 8080;
constexpr int kCalled = 200;  // of the services, by all proxies together: the same in every mesh
constexpr Duration kPatience = std::chrono::minutes(5);
constexpr const char* kNamespace = "bench";

const kube::Resource kServices{"", "v1", "services"};
const kube::Resource kPods{"", "v1", "pods"};
const kube::Resource kSlices{"discovery.k8s.io", "v1", "endpointslices"};

[[noreturn]] void die(const std::string& why) {
  fmt::print(stderr, "bench-control: {}\n", why);
  std::exit(1);
}

std::string service_address(int i) {
  return fmt::format("10.96.{}.{}", 100 + i / 250, 1 + i % 250);
}
std::string pod_address(int i) { return fmt::format("10.1.{}.{}", i / 250, 1 + i % 250); }
std::string cluster(int i) {
  return api::outbound_cluster(kPort, "", fmt::format("s{}.{}.svc.cluster.local", i, kNamespace));
}

double millis(Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const auto at = static_cast<std::size_t>(share * static_cast<double>(values.size()));
  return values[std::min(at, values.size() - 1)];
}

struct Usage {
  double cpu_seconds = 0;
  double kernel_seconds = 0;  // of those
  std::size_t private_kib = 0;
};
Usage usage_of(int pid) {
  Usage usage;
  std::string word;
  std::ifstream stat(fmt::format("/proc/{}/stat", pid));
  std::string line;
  std::getline(stat, line);
  std::istringstream fields(line.substr(line.rfind(')') + 2));
  for (int i = 3; i <= 15 && fields >> word; ++i) {
    if (i == 15) usage.kernel_seconds = std::stod(word) / static_cast<double>(sysconf(_SC_CLK_TCK));
    if (i >= 14) usage.cpu_seconds += std::stod(word) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }
  std::ifstream maps(fmt::format("/proc/{}/smaps_rollup", pid));
  while (maps >> word) {
    if (word == "Private_Dirty:") maps >> usage.private_kib;
  }
  return usage;
}

// What happened since the last change.
struct Tally {
  MonoTime start{};
  std::vector<double> acknowledged;  // milliseconds, one for each proxy
  double first = 0;                  // when the first response came
  std::size_t bytes = 0;             // of responses
};

// One sidecar: asks for what it calls, accepts everything, notes when.
class Proxy {
 public:
  Proxy(io::Loop& loop, int port, int number, const std::vector<int>& calls, bool everything,
        Tally* tally)
      : tally_(tally),
        http_(loop, {.base = *net::parse_base_url(fmt::format("http://127.0.0.1:{}", port)),
                     .version = net::HttpVersion::kHttp2}),
        grpc_(http_),
        client_(xds::node_bytes(node(number, everything))) {
    client_.subscribe_all(api::kClusterType);
    client_.subscribe_all(api::kListenerType);
    std::vector<std::string> names{fmt::format("*:{}", kPort)};
    for (const int call : calls) {
      names.push_back(fmt::format("{}:{}", service_address(call), kPort));
      names.push_back(fmt::format("s{}:{}", call, kPort));
      wanted_.insert(cluster(call));
    }
    if (!everything) client_.subscribe(api::kDestinationType, names);
    net::GrpcCallbacks callbacks;
    callbacks.on_message = [this](std::string_view message) { receive(message); };
    callbacks.on_closed = [](http::GrpcStatus status) { die("a stream ended: " + status.message); };
    call_ = grpc_.stream(api::kDeltaAdsMethod, {}, std::move(callbacks));
    client_.on_open();
    pump();
  }

  // Everything that it calls has endpoints, and its routes are there.
  bool ready() const {
    const auto& endpoints = client_.versions(api::kEndpointType);
    return client_.versions(api::kRouteType).contains(std::to_string(kPort)) &&
           std::ranges::all_of(wanted_, [&](const auto& name) { return endpoints.contains(name); });
  }
  std::size_t config_bytes() const {
    std::size_t sum = 0;
    for (const auto& [name, size] : held_) sum += size;
    return sum;
  }
  // From now on what comes is counted, and is of resources that are known.
  void settled() { settled_ = true; }

 private:
  static xds::NodeInfo node(int number, bool everything) {
    const Json metadata = {{api::node::kNamespace, kNamespace},
                           {api::node::kOnDemandScope, everything ? "false" : "true"}};
    return {.id = fmt::format("sidecar~{}~w{}.{}~{}.svc.cluster.local", pod_address(number), number,
                              kNamespace, kNamespace),
            .metadata_json = metadata.dump()};
  }
  void receive(std::string_view message) {
    if (settled_) return acknowledge(message);
    Result<xds::Update> update = client_.receive(message);
    if (!update) die(update.error().message);
    std::vector<std::string> more;
    for (const xds::Resource& resource : update->resources) {
      held_[update->type_url + resource.name] = resource.bytes.size();
      if (update->type_url == api::kClusterType && resource.name.starts_with("outbound|")) {
        more.push_back(resource.name);
      }
      if (update->type_url == api::kListenerType &&
          resource.name == fmt::format("0.0.0.0_{}", kPort)) {
        client_.subscribe(api::kRouteType, {std::to_string(kPort)});
      }
    }
    for (const std::string& name : update->removed) held_.erase(update->type_url + name);
    client_.subscribe(api::kEndpointType, more);
    client_.answer(*update, {});
    pump();
  }
  // What is new is of no interest here: messages that all proxies share keep what the bench itself
  // costs small, beside mizzend on the same cores.
  void acknowledge(std::string_view message) {
    static DeltaDiscoveryResponse response;
    static DeltaDiscoveryRequest answer;
    static std::string bytes;
    if (tally_->bytes == 0) tally_->first = millis(system_clock().mono() - tally_->start);
    tally_->bytes += message.size();
    if (!response.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      die("not a DeltaDiscoveryResponse");
    }
    answer.set_type_url(response.type_url());
    answer.set_response_nonce(response.nonce());
    answer.SerializeToString(&bytes);
    call_->send(bytes);
    if (response.type_url() != api::kEndpointType) return;
    tally_->acknowledged.push_back(millis(system_clock().mono() - tally_->start));
  }
  void pump() {
    while (auto message = client_.next()) call_->send(*message);
  }

  Tally* tally_;
  net::HttpClient http_;
  net::GrpcClient grpc_;
  xds::DeltaClient client_;
  std::unique_ptr<net::GrpcCall> call_;
  std::set<std::string> wanted_;
  std::map<std::string, std::size_t> held_;
  bool settled_ = false;
};

class Bench {
 public:
  Bench(io::Loop& loop, kube::Client& api, int services, int proxies)
      : loop_(loop), api_(api), services_(services), proxies_(proxies) {}

  void prepare();
  void fill();
  void connect(int port, int calls, bool everything);
  void change(int rounds, int mizzend);

 private:
  static Json slice(int service, bool second);
  void create(const kube::Resource& resource, const Json& object,
              std::string_view name_space = kNamespace);
  void settle(const std::function<bool()>& done, const char* what) {
    if (!loop_.run_until(done, kPatience)) die(fmt::format("waited in vain for {}", what));
  }

  io::Loop& loop_;
  kube::Client& api_;
  int services_;
  int proxies_;
  int open_ = 0;
  Tally tally_;
  std::vector<std::unique_ptr<Proxy>> connected_;
};

Json Bench::slice(int service, bool second) {
  const Json meta = {{"name", fmt::format("s{}-1", service)},
                     {"namespace", kNamespace},
                     {"labels", {{"kubernetes.io/service-name", fmt::format("s{}", service)}}}};
  Json endpoints = Json::array();
  // Those that are called stand before proxies, the same in every mesh.
  const std::string address = service < kCalled
                                  ? pod_address(service)
                                  : fmt::format("10.3.{}.{}", service / 250, 1 + service % 250);
  endpoints.push_back({{"addresses", {address}}});
  if (second) endpoints.push_back({{"addresses", {"10.2.0.1"}}});
  return {{"apiVersion", "discovery.k8s.io/v1"},
          {"kind", "EndpointSlice"},
          {"metadata", meta},
          {"addressType", "IPv4"},
          {"ports", {{{"name", "http"}, {"port", kPort}, {"protocol", "TCP"}}}},
          {"endpoints", std::move(endpoints)}};
}

void Bench::create(const kube::Resource& resource, const Json& object,
                   std::string_view name_space) {
  settle([this] { return open_ < 64; }, "the API server");
  ++open_;
  api_.create(resource, name_space, object, [this](Result<Json> made) {
    if (!made && made.error().code != Code::kExists) die(made.error().message);
    --open_;
  });
}

void Bench::prepare() {
  const kube::Resource definitions{"apiextensions.k8s.io", "v1", "customresourcedefinitions",
                                   false};
  for (const Json& crd : config::crds()) create(definitions, crd, "");
  for (const char* name : {kNamespace, "istio-system"}) {
    create({"", "v1", "namespaces", false},
           {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", name}}}}, "");
  }
  settle([this] { return open_ == 0; }, "the API server");
}

void Bench::fill() {
  for (int i = 0; i < services_; ++i) {
    create(kServices, {{"apiVersion", "v1"},
                       {"kind", "Service"},
                       {"metadata", {{"name", fmt::format("s{}", i)}, {"namespace", kNamespace}}},
                       {"spec",
                        {{"clusterIP", service_address(i)},
                         {"ports", {{{"name", "http"}, {"port", kPort}, {"protocol", "TCP"}}}}}}});
    create(kSlices, slice(i, false));
  }
  for (int i = 0; i < proxies_; ++i) {
    create(
        kPods,
        {{"apiVersion", "v1"},
         {"kind", "Pod"},
         {"metadata",
          {{"name", fmt::format("w{}", i)},
           {"namespace", kNamespace},
           {"labels", {{"app", fmt::format("w{}", i % kCalled)}, {"istio-injection", "false"}}}}},
         {"spec",
          {{"serviceAccountName", "default"},
           {"containers", {{{"name", "app"}, {"image", "app"}}}}}},
         {"status", {{"phase", "Running"}, {"podIP", pod_address(i)}}}});
  }
  settle([this] { return open_ == 0; }, "the API server");
}

// Each calls service 0, and others of the first kCalled.
void Bench::connect(int port, int calls, bool everything) {
  for (int i = 0; i < proxies_; ++i) {
    std::vector<int> called{0};
    for (int k = 1; k < calls; ++k) called.push_back((i + k * 7) % kCalled);
    connected_.push_back(std::make_unique<Proxy>(loop_, port, i, called, everything, &tally_));
    if (i % 50 == 49) loop_.run_until([] { return true; }, std::chrono::milliseconds(1));
  }
  settle(
      [this] { return std::ranges::all_of(connected_, [](const auto& p) { return p->ready(); }); },
      "the proxies");
  std::vector<double> bytes;
  for (const auto& proxy : connected_) bytes.push_back(static_cast<double>(proxy->config_bytes()));
  for (const auto& proxy : connected_) proxy->settled();
  fmt::print("  configuration of a proxy     {:9.0f} bytes (median), {:.0f} (most)\n",
             percentile(bytes, 0.5), percentile(bytes, 1));
}

void Bench::change(int rounds, int mizzend) {
  std::vector<double> first;
  std::vector<double> each;
  std::vector<double> last;
  Usage before;
  double own = 0;
  double bytes = 0;
  for (int round = -2; round < rounds; ++round) {  // the first of either kind warm up
    // Proxies and API server have been quiet for a moment; what is done after the last word counts.
    loop_.run_until([] { return false; }, std::chrono::milliseconds(150));
    if (round == 0) before = usage_of(mizzend);
    if (round == 0) own = usage_of(getpid()).cpu_seconds;
    tally_ = {.start = system_clock().mono(), .acknowledged = {}};
    tally_.acknowledged.reserve(connected_.size());
    api_.patch(kSlices, kNamespace, "s0-1", kube::PatchType::kMerge,
               {{"endpoints", slice(0, round % 2 == 0)["endpoints"]}}, [](Result<Json> done) {
                 if (!done) die(done.error().message);
               });
    settle([this] { return tally_.acknowledged.size() >= connected_.size(); }, "acknowledgements");
    if (round < 0) continue;
    first.push_back(tally_.first);
    each.insert(each.end(), tally_.acknowledged.begin(), tally_.acknowledged.end());
    last.push_back(std::ranges::max(tally_.acknowledged));
    bytes += static_cast<double>(tally_.bytes) / static_cast<double>(rounds * proxies_);
  }
  loop_.run_until([] { return false; }, std::chrono::milliseconds(50));
  const Usage after = usage_of(mizzend);
  own = usage_of(getpid()).cpu_seconds - own;
  const auto line = [](const char* what, const std::vector<double>& values) {
    fmt::print("  {:<28} {:9.1f} ms p50, {:.1f} ms p99\n", what, percentile(values, 0.5),
               percentile(values, 0.99));
  };
  line("endpoint change, first push", first);
  line("endpoint change, each ACK", each);
  line("endpoint change, last ACK", last);
  fmt::print("  pushed to a proxy            {:9.0f} bytes a change, {} changes\n", bytes, rounds);
  const auto cpu = [&](double seconds) { return seconds * 1000 / rounds; };
  const double micros = 1000.0 / proxies_;
  const double all = cpu(after.cpu_seconds - before.cpu_seconds);
  fmt::print("  CPU of mizzend               {:9.1f} ms a change, {:.1f} of it in the kernel\n",
             all, cpu(after.kernel_seconds - before.kernel_seconds));
  fmt::print("  that is, for a proxy         {:9.1f} us; the simulated proxy itself {:.1f} us\n",
             all * micros, cpu(own) * micros);
  fmt::print("  private memory of mizzend    {:9.1f} MiB\n",
             static_cast<double>(usage_of(mizzend).private_kib) / 1024);
}

int run(const std::vector<std::string>& arguments) {
  const bool prepare = arguments.size() == 2 && arguments[1] == "prepare";
  if (!prepare && arguments.size() < 7) die("see the top of bench/control.cc");
  const auto number = [&](std::size_t i) { return std::atoi(arguments[i].c_str()); };
  io::EpollLoop loop;
  Result<kube::Config> config = kube::load_config(arguments[0]);
  if (!config) die(config.error().message);
  auto api = kube::Client::make(loop, std::move(*config));
  if (!api) die(api.error().message);
  if (prepare) {
    Bench(loop, **api, 0, 0).prepare();
    return 0;
  }
  Bench bench(loop, **api, number(3), number(4));
  const bool everything = arguments.size() > 7 && arguments[7] == "everything";
  fmt::print("{} services, {} proxies that call {} of them{}\n", number(3), number(4), number(5),
             everything ? " and are told everything" : "");
  bench.fill();
  bench.connect(number(1), number(5), everything);
  bench.change(number(6), number(2));
  return 0;
}

}  // namespace
}  // namespace mizzen::bench

int main(int argc, char** argv) { return mizzen::bench::run({argv + 1, argv + argc}); }
