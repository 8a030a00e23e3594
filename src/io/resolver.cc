#include "io/resolver.h"

#include <ares.h>
#include <netdb.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/strings.h"

namespace mizzen::io {
namespace {

Error error_of(int status, std::string_view host) {
  Code code = Code::kUnavailable;
  if (status == ARES_ENOTFOUND || status == ARES_ENODATA || status == ARES_EBADNAME) {
    code = Code::kNotFound;
  } else if (status == ARES_ETIMEOUT) {
    code = Code::kTimeout;
  }
  return {code, Side::kUpstream, true,
          "resolve " + std::string(host) + ": " + ares_strerror(status)};
}

Resolved collect(const ares_addrinfo* list, std::uint16_t port) {
  Resolved out;
  int shortest = -1;
  for (const ares_addrinfo_node* node = list->nodes; node != nullptr; node = node->ai_next) {
    Address address = Address::from_sockaddr(node->ai_addr, node->ai_addrlen).with_port(port);
    if (!address.is_ip()) continue;
    if (std::find(out.addresses.begin(), out.addresses.end(), address) == out.addresses.end()) {
      out.addresses.push_back(std::move(address));
    }
    if (shortest < 0 || node->ai_ttl < shortest) shortest = node->ai_ttl;
  }
  out.ttl = std::chrono::seconds(std::max(shortest, 0));
  return out;
}

class AresResolver final : public Resolver, private FdHandler {
 public:
  explicit AresResolver(Loop& loop)
      : loop_(loop),
        timer_(Timer::of<&AresResolver::on_timer>(loop, this)),
        answer_(Task::of<&AresResolver::deliver>(loop, this)) {}
  ~AresResolver() override {
    closing_ = true;
    if (channel_ != nullptr) ares_destroy(channel_);
    for (int fd : fds_) loop_.unwatch(fd);
  }

  Status init(const ResolverOptions& options) {
    static std::once_flag once;
    std::call_once(once, [] { ares_library_init(ARES_LIB_INIT_ALL); });
    ares_options settings{};
    settings.timeout = static_cast<int>(
        std::chrono::duration_cast<std::chrono::milliseconds>(options.timeout).count());
    settings.tries = options.tries;
    settings.sock_state_cb = [](void* self, ares_socket_t fd, int read, int write) {
      static_cast<AresResolver*>(self)->on_socket(fd, read != 0 || write != 0);
    };
    settings.sock_state_cb_data = this;
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    int status = ares_init_options(&channel_, &settings, mask);
    if (status != ARES_SUCCESS) {
      return fail(Code::kInternal, std::string("resolver: ") + ares_strerror(status));
    }
    if (options.servers.empty()) return {};
    std::string servers;
    for (const Address& server : options.servers) {
      servers += (servers.empty() ? "" : ",") + server.to_string();
    }
    status = ares_set_servers_ports_csv(channel_, servers.c_str());
    if (status != ARES_SUCCESS) return fail(Code::kInvalid, "resolver: bad server in " + servers);
    return {};
  }

  void resolve(std::string_view host, std::uint16_t port, ResolveFamily family,
               Done done) override {
    if (auto literal = Address::parse_ip(host, port)) {
      return answer(std::move(done), Resolved{{*literal}, Duration{0}});
    }
    std::uint64_t id = ++last_id_;
    queries_.emplace(id, Query{std::string(host), port, std::move(done)});
    ares_addrinfo_hints hints{};
    hints.ai_family = family == ResolveFamily::kIpv4   ? AF_INET
                      : family == ResolveFamily::kIpv6 ? AF_INET6
                                                       : AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    auto* ticket = new Ticket{this, id};
    ares_getaddrinfo(channel_, std::string(host).c_str(), nullptr, &hints, &AresResolver::on_answer,
                     ticket);
    rearm();
  }

 private:
  struct Query {
    std::string host;
    std::uint16_t port;
    Done done;
  };
  struct Ticket {
    AresResolver* resolver;
    std::uint64_t id;
  };

  // c-ares may answer from inside any of its functions: put it off to the end of the turn.
  void answer(Done done, Result<Resolved> result) {
    answers_.emplace_back(std::move(done), std::move(result));
    answer_.schedule();
  }

  void deliver() {
    auto batch = std::exchange(answers_, {});
    std::weak_ptr<int> alive = alive_;  // a callback may destroy this resolver
    for (auto& [done, result] : batch) {
      if (alive.expired()) return;
      done(std::move(result));
    }
  }

  static void on_answer(void* arg, int status, int, ares_addrinfo* list) {
    std::unique_ptr<Ticket> ticket(static_cast<Ticket*>(arg));
    AresResolver& self = *ticket->resolver;
    auto node = self.queries_.extract(ticket->id);
    if (!self.closing_ && !node.empty()) {
      Query& query = node.mapped();
      if (status == ARES_SUCCESS && list != nullptr && list->nodes != nullptr) {
        self.answer(std::move(query.done), collect(list, query.port));
      } else {
        int why = status == ARES_SUCCESS ? ARES_ENODATA : status;
        self.answer(std::move(query.done), std::unexpected(error_of(why, query.host)));
      }
    }
    if (list != nullptr) ares_freeaddrinfo(list);
  }

  void on_socket(int fd, bool wanted) {
    auto known = std::find(fds_.begin(), fds_.end(), fd);
    if (wanted && known == fds_.end()) {
      fds_.push_back(fd);
      static_cast<void>(loop_.watch(fd, this));
    } else if (!wanted && known != fds_.end()) {
      loop_.unwatch(fd);
      fds_.erase(known);
    }
  }

  // The events do not say which descriptor; a resolver has a handful at most.
  void on_events(unsigned) override {
    auto fds = fds_;
    for (int fd : fds) {
      if (std::find(fds_.begin(), fds_.end(), fd) != fds_.end()) ares_process_fd(channel_, fd, fd);
    }
    rearm();
  }

  void on_timer() {
    ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    rearm();
  }

  void rearm() {
    timeval wait{};
    if (ares_timeout(channel_, nullptr, &wait) == nullptr) return timer_.cancel();
    timer_.arm(std::chrono::seconds(wait.tv_sec) + std::chrono::microseconds(wait.tv_usec));
  }

  Loop& loop_;
  ares_channel channel_ = nullptr;
  Timer timer_;
  Task answer_;
  std::vector<int> fds_;
  std::unordered_map<std::uint64_t, Query> queries_;
  std::vector<std::pair<Done, Result<Resolved>>> answers_;
  std::uint64_t last_id_ = 0;
  bool closing_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace

Result<std::unique_ptr<Resolver>> Resolver::make(Loop& loop, const ResolverOptions& options) {
  auto resolver = std::make_unique<AresResolver>(loop);
  MIZZEN_CHECKED(resolver->init(options));
  return resolver;
}

}  // namespace mizzen::io
