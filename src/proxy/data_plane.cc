#include "proxy/data_plane.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <atomic>
#include <set>
#include <thread>

#include "base/log.h"
#include "io/listener.h"
#include "proxy/worker.h"

namespace mizzen::proxy {

constexpr Duration kDrainCheck = std::chrono::milliseconds(20);
constexpr Duration kDrainIdle = std::chrono::milliseconds(500);
constexpr Duration kLoadCheck = std::chrono::milliseconds(500);
constexpr std::size_t kOtherDescriptors = 32;  // the main thread's, logs, loops: about

namespace {

io::Address bound_address(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  return io::Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length);
}

}  // namespace

// A worker with its thread. `worker` is used on that thread only, but for Worker::sessions().
struct DataPlane::Thread {
  io::EpollLoop loop;
  std::unique_ptr<Worker> worker;
  std::atomic<bool> configured = false;
  std::thread thread;
};

DataPlane::DataPlane(io::Loop& main, DataPlaneOptions options)
    : main_(main),
      options_(std::move(options)),
      shared_(std::make_unique<WorkerShared>(options_.connection_limits)),
      drain_timer_(io::Timer::of<&DataPlane::check_drained>(main, this)),
      load_timer_(io::Timer::of<&DataPlane::measure_load>(main, this)) {
  load_timer_.arm(kLoadCheck);
  shared_->self = options_.self;
  shared_->limits = make_shared_limits();
  for (unsigned i = 0; i < std::max(options_.concurrency, 1u); ++i) {
    auto thread = std::make_unique<Thread>();
    thread->worker = std::make_unique<Worker>(
        thread->loop, *shared_, make_upstream(thread->loop, shared_->limits, shared_->contexts));
    thread->thread = std::thread([t = thread.get()] {
      t->loop.run();
      t->worker.reset();
    });
    threads_.push_back(std::move(thread));
  }
}

DataPlane::~DataPlane() {
  for (auto& thread : threads_) thread->loop.stop();
  for (auto& thread : threads_) thread->thread.join();
}

// One socket for each worker, those of the process before first; it may have had more of them.
Status DataPlane::open_sockets(const std::string& key, const Listener& listener,
                               const SocketAddr& configured,
                               std::vector<std::vector<ListenSocket>>& sockets) {
  io::Address address = to_io(configured);
  std::size_t next = 0;
  if (auto found = adopted_.find(key); found != adopted_.end()) {
    for (io::UniqueFd& fd : found->second) {
      bound_[key] = bound_address(fd.get());
      sockets[next++ % sockets.size()].push_back({key, listener.name, std::move(fd)});
    }
    adopted_.erase(found);
    address = bound_[key];
  }
  io::ListenOptions how;
  how.reuse_port = address.is_ip();
  how.transparent = listener.transparent;
  how.v6_only = address.family() == io::Family::kIpv6 && !configured.ipv4_compat;
  const std::size_t wanted = address.is_ip() ? sockets.size() : 1;  // a UNIX path has one listener
  for (; next < wanted; ++next) {
    auto fd = io::listen_socket(address, how);
    if (!fd) return std::unexpected(fd.error());
    if (address.is_ip() && address.port() == 0) address = bound_address(fd->get());
    sockets[next].push_back({key, listener.name, std::move(*fd)});
    bound_[key] = address;
  }
  return {};
}

Status DataPlane::set_snapshot(SnapshotRef snapshot) {
  std::string problems;
  std::vector<std::vector<ListenSocket>> sockets(threads_.size());
  std::set<std::string> wanted;
  for (const auto& listener : snapshot->listeners) {
    if (!listener->bind || !accepting_) continue;
    for (const SocketAddr& configured : listener->addresses) {
      std::string key = listener->name + " " + to_string(configured);
      wanted.insert(key);
      if (bound_.contains(key)) continue;
      auto opened = open_sockets(key, *listener, configured, sockets);
      if (opened) continue;
      problems += fmt::format("{}listener {}: {}", problems.empty() ? "" : "; ", listener->name,
                              opened.error().message);
      wanted.erase(key);
    }
  }
  std::erase_if(bound_, [&](const auto& entry) { return !wanted.contains(entry.first); });
  snapshot_ = snapshot;
  live_ = make_live_config(std::move(snapshot), live_);
  LiveConfigRef config = live_;
  std::vector<std::string> keep(wanted.begin(), wanted.end());
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    Thread* thread = threads_[i].get();
    auto of_worker = std::make_shared<std::vector<ListenSocket>>(std::move(sockets[i]));
    thread->loop.post([thread, config, of_worker, keep, &main = main_] {
      thread->worker->set_config(config, std::move(*of_worker), keep);
      thread->configured = true;
      main.post([] {});  // whoever waits for listening() looks again
    });
  }
  if (problems.empty()) return {};
  log::error("data_plane", "{}", problems);
  return fail(Code::kUnavailable, problems);
}

void DataPlane::on_asked(std::function<void(std::vector<std::string>)> ask) {
  shared_->ask = [&main = main_, ask = std::move(ask)](std::vector<std::string> names) {
    main.post([ask, names = std::move(names)] { ask(names); });
  };
}

bool DataPlane::listening() const {
  for (const auto& thread : threads_) {
    if (!thread->configured) return false;
  }
  return true;
}

io::Address DataPlane::address_of(std::string_view listener) const {
  for (const auto& [key, address] : bound_) {
    if (key.size() > listener.size() && key.starts_with(listener) && key[listener.size()] == ' ') {
      return address;
    }
  }
  return {};
}

void DataPlane::collect(std::function<void(StatsReport)> done) {
  struct Gathering {
    StatsReport report;
    std::size_t missing;
    std::function<void(StatsReport)> done;
  };
  auto gathering = std::make_shared<Gathering>(StatsReport{}, threads_.size(), std::move(done));
  for (auto& thread : threads_) {
    Worker* worker = thread->worker.get();
    thread->loop.post([worker, gathering, &main = main_] {
      auto part = std::make_shared<StatsReport>(worker->stats().report());
      main.post([gathering, part] {
        gathering->report.merge(*part);
        if (--gathering->missing == 0) gathering->done(std::move(gathering->report));
      });
    });
  }
}

void DataPlane::collect_sockets(std::function<void(SocketsByKey)> done) {
  struct Gathering {
    SocketsByKey sockets;
    std::size_t missing;
    std::function<void(SocketsByKey)> done;
  };
  auto gathering = std::make_shared<Gathering>(SocketsByKey{}, threads_.size(), std::move(done));
  for (auto& thread : threads_) {
    Worker* worker = thread->worker.get();
    thread->loop.post([worker, gathering, &main = main_] {
      auto part = std::make_shared<std::vector<ListenSocket>>(worker->copy_sockets());
      main.post([gathering, part] {
        for (ListenSocket& socket : *part) {
          gathering->sockets[socket.key].push_back(std::move(socket.fd));
        }
        if (--gathering->missing == 0) gathering->done(std::move(gathering->sockets));
      });
    });
  }
}

void DataPlane::drain(std::function<void()> done) {
  start_draining(options_.drain_time, kDrainIdle, options_.drain_quiet.count() > 0,
                 std::move(done));
}

void DataPlane::hand_over(Duration limit, std::function<void()> done) {
  options_.drain_quiet = {};
  options_.drain_least = {};
  start_draining(limit, std::min(options_.drain_time, limit), false, std::move(done));
}

void DataPlane::start_draining(Duration limit, Duration idle, bool keep_accepting,
                               std::function<void()> done) {
  accepting_ = accepting_ && keep_accepting;
  drained_ = std::move(done);
  drain_from_ = quiet_since_ = main_.now();
  drain_until_ = drain_from_ + limit;
  for (auto& thread : threads_) {
    Worker* worker = thread->worker.get();
    thread->loop.post([worker, keep_accepting, idle] { worker->drain(keep_accepting, idle); });
  }
  drain_timer_.arm(kDrainCheck);
}

void DataPlane::measure_load() {
  std::size_t descriptors = kOtherDescriptors;
  for (const auto& thread : threads_) descriptors += thread->loop.watched();
  shared_->overload.measure(descriptors);
  load_timer_.arm(kLoadCheck);
}

void DataPlane::check_drained() {
  const MonoTime now = main_.now();
  if (connections() != 0) quiet_since_ = now;
  const bool quiet = connections() == 0 && now - quiet_since_ >= options_.drain_quiet &&
                     now - drain_from_ >= options_.drain_least;
  if (!quiet && now < drain_until_) return drain_timer_.arm(kDrainCheck);
  if (drained_) std::exchange(drained_, nullptr)();
}

const SharedLimits& DataPlane::limits() const { return *shared_->limits; }

std::size_t DataPlane::connections() const {
  std::size_t sum = 0;
  for (const auto& thread : threads_) sum += thread->worker->sessions();
  return sum;
}

}  // namespace mizzen::proxy
