#include "control/serve/discovery.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "api/names.h"
#include "base/log.h"
#include "control/mesh/ingest.h"
#include "object/json.h"

namespace mizzen::control {

struct Discovery::Stream {
  std::uint64_t id = 0;
  std::shared_ptr<net::GrpcStream> call;
  std::unique_ptr<StreamProtocol> protocol;
  bool identified = false;  // node is known and allowed
  bool proven = false;      // the caller has shown credentials
  pki::SpiffeId identity;
  Proxy proxy;
  bool queued = false;
  bool gone = false;
  WallTime connected{};
  std::shared_ptr<const Workload> workload;  // its pod, as `proxy` has it
  std::uint64_t workloads = 0;               // when that was looked up
  Served served;
  std::vector<std::string> names;  // that it asks for
  std::optional<Registration> registration;
};

namespace {

// Of one proxy: more than it may ever hold at once.
constexpr std::size_t kMostNames = 20'000;

void take_workload(const Workload& workload, Proxy* proxy) {
  proxy->labels = workload.labels;
  proxy->locality = workload.locality;
  if (!workload.address.empty()) proxy->address = workload.address;
  if (proxy->service_account.empty()) proxy->service_account = workload.service_account;
}

}  // namespace

Proxy make_proxy(const xds::NodeInfo& node, const Store& store) {
  Proxy proxy;
  proxy.id = node.id;
  const auto metadata = object::parse_json(node.metadata_json.empty() ? "{}" : node.metadata_json);
  const object::Json empty = object::Json::object();
  const object::Json& meta = metadata ? *metadata : empty;
  proxy.service_account = object::string_at(meta, {api::node::kServiceAccount});
  proxy.cluster_id = object::string_at(meta, {api::node::kClusterId}, api::kDefaultClusterId);
  proxy.version = object::string_at(meta, {api::node::kIstioVersion});
  proxy.group = object::string_at(meta, {kGroupOfNode});
  proxy.network = object::string_at(meta, {kNetworkOfNode});
  proxy.capture = object::string_at(meta, {api::node::kInterceptionMode}, "REDIRECT") != "NONE";
  proxy.dns_capture = object::string_at(meta, {api::node::kDnsCapture}) == "true";
  proxy.on_demand = object::string_at(meta, {api::node::kOnDemandScope}) == "true";
  proxy.auto_address =
      proxy.dns_capture && object::string_at(meta, {api::node::kDnsAutoAllocate}) == "true";
  proxy.labels = read_labels(object::find(meta, {api::node::kLabels}));
  if (const auto id = api::parse_node_id(node.id)) {
    proxy.kind = id->type == "sidecar" ? ProxyKind::kSidecar : ProxyKind::kGateway;
    proxy.address = id->address;
    proxy.pod = id->pod;
    proxy.name_space = id->name_space;
    proxy.name = id->pod + "." + id->name_space;
  }
  if (const auto workload = store.workload(proxy.name_space, proxy.pod)) {
    take_workload(*workload, &proxy);
  }
  return proxy;
}

Discovery::Discovery(io::Loop& loop, Store& store, Authenticator& authenticator,
                     DiscoveryOptions options)
    : loop_(loop), store_(store), authenticator_(authenticator), options_(options) {}

Discovery::~Discovery() {
  *alive_ = false;
  if (quiet_timer_ != 0) loop_.cancel(quiet_timer_);
}

void Discovery::mount(net::GrpcServer& server, bool allow_anonymous) {
  server.streaming(std::string(api::kDeltaAdsMethod),
                   [this, allow_anonymous](std::shared_ptr<net::GrpcStream> call) {
                     open(std::move(call), true, allow_anonymous);
                   });
  server.streaming(std::string(api::kSotwAdsMethod),
                   [this, allow_anonymous](std::shared_ptr<net::GrpcStream> call) {
                     open(std::move(call), false, allow_anonymous);
                   });
}

void Discovery::open(std::shared_ptr<net::GrpcStream> call, bool delta, bool allow_anonymous) {
  ++counters_.streams;
  if (streams_.size() >= options_.max_streams) {
    ++counters_.refused;
    call->finish({http::GrpcCode::kResourceExhausted, "too many streams"});
    return;
  }
  auto stream = std::make_shared<Stream>();
  stream->id = ++last_id_;
  stream->call = call;
  stream->connected = loop_.wall();
  const std::string name = fmt::format("{}", stream->id);
  stream->protocol = delta ? delta_protocol(name) : state_of_the_world_protocol(name);
  streams_[stream->id] = stream;
  call->on_closed([this, alive = alive_, id = stream->id] {
    if (*alive) close(id);
  });
  if (allow_anonymous && !Authenticator::shows_credentials(call->exchange())) {
    begin(stream);
    return;
  }
  authenticator_.identify(call->exchange(), [this, alive = alive_, weak = std::weak_ptr(stream)](
                                                Result<pki::SpiffeId> identity) {
    const auto stream = weak.lock();
    if (!*alive || stream == nullptr) return;
    if (!identity) {
      ++counters_.refused;
      log::warning("ads", "stream refused: {}", identity.error().message);
      stream->call->finish({http::grpc_code_of(identity.error().code), identity.error().message});
      return;
    }
    stream->proven = true;
    stream->identity = std::move(*identity);
    begin(stream);
  });
}

void Discovery::begin(const std::shared_ptr<Stream>& stream) {
  const auto guard = [alive = alive_, weak = std::weak_ptr(stream)](auto&& use) {
    if (const auto held = weak.lock(); *alive && held) use(held);
  };
  stream->call->on_writable([this, guard] { guard([this](const auto& held) { pump(*held); }); });
  stream->call->on_message([this, guard](std::string_view message) {
    guard([&](const auto& held) { receive(held, message); });
  });
}

// A proxy may only speak for a pod of the namespace that its credentials are of.
Status Discovery::greet(Stream& stream) {
  const xds::NodeInfo& node = stream.protocol->node();
  if (!api::parse_node_id(node.id)) {
    return fail(Code::kInvalid,
                fmt::format("node id \"{}\": expected <type>~<address>~<pod>.<namespace>~<domain>",
                            node.id));
  }
  stream.proxy = make_proxy(node, store_);
  stream.workload = store_.workload(stream.proxy.name_space, stream.proxy.pod);
  if (stream.proven && stream.proxy.name_space != stream.identity.name_space) {
    return fail(Code::kUnauthenticated,
                fmt::format("node {} is of namespace {}, its credentials are {}", stream.proxy.name,
                            stream.proxy.name_space, stream.identity.to_string()));
  }
  if (stream.proven && !stream.proxy.service_account.empty() &&
      stream.proxy.service_account != stream.identity.service_account) {
    return fail(
        Code::kUnauthenticated,
        fmt::format("node {} has service account {}, its credentials are {}", stream.proxy.name,
                    stream.proxy.service_account, stream.identity.to_string()));
  }
  // Before start() nobody knows which groups there are.
  if (started_) MIZZEN_CHECKED(enrol(stream));
  stream.identified = true;
  log::info("ads", "{} connected", stream.proxy.name);
  return {};
}

// A proxy that names a WorkloadGroup becomes a WorkloadEntry, whose labels are its own.
Status Discovery::enrol(Stream& stream) {
  if (registrar_ == nullptr || stream.proxy.group.empty()) return {};
  if (!stream.proven) {
    return fail(Code::kUnauthenticated,
                fmt::format("node {} names WorkloadGroup {} and shows no credentials",
                            stream.proxy.name, stream.proxy.group));
  }
  Registration registration{stream.proxy.group,   stream.proxy.name_space, stream.proxy.address,
                            stream.proxy.network, stream.proxy.labels,     stream.identity};
  MIZZEN_TRY(stream.proxy.labels, registrar_->connect(registration));
  stream.registration = std::move(registration);
  return {};
}

void Discovery::refuse(Stream& stream, const Error& why) {
  ++counters_.refused;
  log::warning("ads", "{}", why.message);
  stream.call->finish({http::grpc_code_of(why.code), why.message});
}

void Discovery::receive(const std::shared_ptr<Stream>& held, std::string_view message) {
  Stream& stream = *held;
  Result<xds::Received> received = stream.protocol->receive(message);
  if (!received) {
    stream.call->finish({http::GrpcCode::kInvalidArgument, received.error().message});
    return;
  }
  if (received->first_on_stream) {
    if (Status greeted = greet(stream); !greeted) return refuse(stream, greeted.error());
    enqueue(held);
  }
  if (!received->error.empty()) {
    ++counters_.nacks;
    log::warning("ads", "{} refused {}: {}", stream.proxy.name, xds::short_type(received->type_url),
                 received->error);
  }
  const bool asks = received->type_url == api::kDestinationType &&
                    (!received->subscribed.empty() || !received->unsubscribed.empty());
  if (!asks) return pump(stream);
  // The world must hold what was asked for before a word is said about it.
  stream.names = stream.protocol->names(api::kDestinationType);
  if (stream.names.size() > kMostNames) {
    stream.call->finish({http::GrpcCode::kResourceExhausted,
                         fmt::format("more than {} destinations asked for", kMostNames)});
    return;
  }
  stream.served.asked = true;
  if (started_ && target_ != nullptr) push(stream);
}

void Discovery::close(std::uint64_t id) {
  const auto found = streams_.find(id);
  if (found == streams_.end()) return;
  if (found->second->identified) log::info("ads", "{} disconnected", found->second->proxy.name);
  if (found->second->registration) registrar_->disconnect(*found->second->registration);
  found->second->gone = true;
  // The call that tells of its end must outlive this callback.
  loop_.defer([held = found->second] {});
  streams_.erase(found);
}

void Discovery::start() {
  started_ = true;
  std::vector<std::pair<std::shared_ptr<Stream>, Error>> refused;
  for (auto& [id, stream] : streams_) {
    // Pods may have been unknown when the proxy came.
    if (!stream->identified) continue;
    stream->proxy = make_proxy(stream->protocol->node(), store_);
    stream->workload = store_.workload(stream->proxy.name_space, stream->proxy.pod);
    if (Status enrolled = enrol(*stream); !enrolled) {
      refused.emplace_back(stream, enrolled.error());
    }
  }
  for (const auto& [stream, why] : refused) refuse(*stream, why);
  target_ = store_.snapshot();
  enqueue_all();
}

// At the end of this turn: one slice often comes with several events.
void Discovery::schedule_endpoints() {
  if (endpoints_scheduled_) return;
  endpoints_scheduled_ = true;
  loop_.defer([this, alive = alive_] {
    if (!*alive) return;
    endpoints_scheduled_ = false;
    // Rules that are still coming in wait for their own quiet.
    target_ = store_.endpoint_snapshot();
    enqueue_all();
  });
}

void Discovery::changed(Change change, bool workloads) {
  if (workloads) ++workloads_;
  if (!started_ || change == Change::kNone) return;
  if (change == Change::kEndpoints) {
    schedule_endpoints();
    return;
  }
  const MonoTime now = loop_.now();
  if (quiet_timer_ == 0) first_change_ = now;
  if (quiet_timer_ != 0) loop_.cancel(quiet_timer_);
  const Duration waited = now - first_change_;
  const Duration wait =
      std::min(options_.quiet, std::max(options_.longest_wait - waited, Duration::zero()));
  quiet_timer_ = loop_.after(wait, [this] {
    quiet_timer_ = 0;
    target_ = store_.snapshot();
    enqueue_all();
  });
}

// Proxies with a part in common one after the other: what they share is at hand then.
void Discovery::enqueue_all() {
  std::vector<std::pair<const Part*, const std::shared_ptr<Stream>*>> order;
  order.reserve(streams_.size());
  for (const auto& [id, stream] : streams_) order.emplace_back(stream->served.part, &stream);
  std::ranges::stable_sort(order, std::less<>(), [](const auto& entry) { return entry.first; });
  for (const auto& [part, stream] : order) enqueue(*stream);
}

void Discovery::enqueue(const std::shared_ptr<Stream>& stream) {
  if (!started_ || !stream->identified || stream->queued) return;
  stream->queued = true;
  queue_.push_back(stream);
  schedule_turn();
}

void Discovery::schedule_turn() {
  if (turn_scheduled_) return;
  turn_scheduled_ = true;
  loop_.defer([this, alive = alive_] {
    if (*alive) turn();
  });
}

void Discovery::turn() {
  turn_scheduled_ = false;
  const MonoTime end = system_clock().mono() + options_.turn_budget;
  while (!queue_.empty()) {
    const std::shared_ptr<Stream> stream = std::move(queue_.front());
    queue_.pop_front();
    stream->queued = false;
    if (!stream->gone) push(*stream);
    if (system_clock().mono() >= end) break;
  }
  if (!queue_.empty()) schedule_turn();
}

void Discovery::follow_pod(Stream& stream) {
  const auto workload = store_.workload(stream.proxy.name_space, stream.proxy.pod);
  // A pod that is gone while its proxy still speaks keeps what it had.
  if (workload == stream.workload || workload == nullptr) return;
  Proxy proxy = stream.proxy;
  take_workload(*workload, &proxy);
  const bool same = proxy.labels == stream.proxy.labels && proxy.address == stream.proxy.address &&
                    proxy.locality == stream.proxy.locality;
  stream.proxy = std::move(proxy);
  stream.workload = workload;
  if (!same) stream.served = Served();
}

void Discovery::push(Stream& stream) {
  const std::shared_ptr<const Snapshot> snapshot = target_;
  if (stream.served.snapshot == snapshot && !stream.served.asked) {
    pump(stream);
    return;
  }
  if (std::exchange(stream.workloads, workloads_) != workloads_) follow_pod(stream);
  const auto before = stream.served.world;
  generator_.serve(snapshot, stream.proxy, stream.proven, stream.names, &stream.served);
  if (stream.served.world != before) {
    ++counters_.pushes;
    stream.protocol->offer(stream.served.world);
  }
  pump(stream);
}

void Discovery::pump(Stream& stream) {
  bool sent = false;
  while (!stream.call->closed() && stream.call->buffered() < options_.high_water) {
    const std::optional<std::string> message = stream.protocol->next();
    if (!message) break;
    ++counters_.responses;
    stream.call->send(*message);
    sent = true;
  }
  // The first of many proxies need not wait until there is something for the last.
  if (sent) stream.call->flush();
}

std::vector<ProxyStatus> Discovery::proxies() const {
  std::vector<ProxyStatus> out;
  for (const auto& [id, stream] : streams_) {
    if (!stream->identified) continue;
    ProxyStatus status;
    status.name = stream->proxy.name;
    status.kind = stream->proxy.kind == ProxyKind::kSidecar ? "sidecar" : "router";
    status.cluster_id = stream->proxy.cluster_id;
    status.version = stream->proxy.version;
    if (stream->proven) status.identity = stream->identity.to_string();
    status.connected = stream->connected;
    status.types = stream->protocol->status();
    out.push_back(std::move(status));
  }
  std::ranges::sort(out, {}, &ProxyStatus::name);
  return out;
}

std::shared_ptr<const xds::World> Discovery::world_of(std::string_view name) const {
  for (const auto& [id, stream] : streams_) {
    if (stream->proxy.name == name) return stream->served.world;
  }
  return nullptr;
}

}  // namespace mizzen::control
