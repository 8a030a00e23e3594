#include "proxy/http/lookup.h"

#include <algorithm>
#include <utility>

#include "proxy/feed/destinations.h"

namespace mizzen::proxy {

Lookup::Lookup(Worker& worker, std::vector<std::string> names, std::function<void(bool)> done)
    : worker_(worker),
      names_(std::move(names)),
      done_(std::move(done)),
      self_(std::make_shared<Lookup*>(this)),
      timer_(io::Timer::of<&Lookup::on_timeout>(worker.loop(), this)) {
  worker_.stats().count("mizzen_scope_lookups_total");
  worker_.await_config(self_);
  timer_.arm(kDestinationLimit);
  if (worker_.shared().ask) worker_.shared().ask(names_);
}

Lookup::~Lookup() { *self_ = nullptr; }

void Lookup::look() {
  const bool known = std::ranges::all_of(names_, [&](const std::string& name) {
    return worker_.config()->snapshot->knows(name, worker_.loop().now());
  });
  if (known) end(true);
}

void Lookup::on_timeout() {
  worker_.stats().count("mizzen_scope_timeouts_total");
  end(false);
}

void Lookup::end(bool known) {
  timer_.cancel();
  *self_ = nullptr;
  std::exchange(done_, nullptr)(known);
}

}  // namespace mizzen::proxy
