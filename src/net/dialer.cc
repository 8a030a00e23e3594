#include "net/dialer.h"

#include <algorithm>

namespace mizzen::net {

Dialer::Dialer(io::Loop& loop, const HttpClientOptions& options, io::Resolver* resolver,
               io::ConnectDone done)
    : loop_(loop), options_(options), resolver_(resolver), done_(std::move(done)) {}

void Dialer::start() {
  if (options_.dial) {
    connecting_ = options_.dial(std::move(done_));
    return;
  }
  const BaseUrl& base = options_.base;
  if (!base.unix_path.empty()) {
    left_ = {io::Address::unix_path(base.unix_path)};
    return try_next({});
  }
  if (auto literal = io::Address::parse_ip(base.host, base.port)) {
    left_ = {*literal};
    return try_next({});
  }
  resolver_->resolve(base.host, base.port, io::ResolveFamily::kAny,
                     [this, alive = std::weak_ptr<int>(alive_)](Result<io::Resolved> names) {
                       if (!alive.expired()) resolved(std::move(names));
                     });
}

void Dialer::resolved(Result<io::Resolved> names) {
  if (!names) return done_(std::unexpected(names.error().in(options_.base.host)));
  left_ = std::move(names->addresses);
  std::ranges::reverse(left_);
  try_next({Code::kNotFound, Side::kUpstream, true, options_.base.host + " has no address"});
}

void Dialer::try_next(Error last) {
  if (left_.empty()) return done_(std::unexpected(std::move(last)));
  io::Address to = left_.back();
  left_.pop_back();
  connecting_ =
      io::connect(loop_, to, options_.connect, [this](Result<std::unique_ptr<io::Stream>> stream) {
        if (stream) return done_(std::move(stream));
        try_next(stream.error());
      });
}

}  // namespace mizzen::net
