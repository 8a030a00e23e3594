#include "proxy/feed/named_files.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <set>

#include "base/log.h"

namespace mizzen::proxy {
namespace {

constexpr Duration kQuietFiles = std::chrono::milliseconds(100);

}  // namespace

NamedFiles::NamedFiles(io::Loop& loop, ConfigFeed& feed)
    : loop_(loop), feed_(feed), quiet_(io::Timer::of<&NamedFiles::look>(loop, this)) {}

NamedFiles::~NamedFiles() {
  if (inotify_) loop_.unwatch(inotify_.get());
}

void NamedFiles::follow() {
  const std::set<std::string> wanted = feed_.store().directories();
  std::erase_if(watched_, [&](const auto& entry) {
    if (wanted.contains(entry.first)) return false;
    if (entry.second >= 0) ::inotify_rm_watch(inotify_.get(), entry.second);
    return true;
  });
  for (const std::string& directory : wanted) {
    if (watched_.contains(directory)) continue;
    if (!inotify_) {
      inotify_ = io::UniqueFd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
      if (inotify_ && !loop_.watch_level(inotify_.get(), this)) inotify_.reset();
    }
    const int watch = !inotify_ ? -1
                                : ::inotify_add_watch(inotify_.get(), directory.c_str(),
                                                      IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE);
    if (watch < 0) {
      log::warning("config", "cannot watch {}: {}; what changes there is not read again", directory,
                   std::strerror(errno));
    } else {
      quiet_.arm(kQuietFiles);  // a change before the watch is told by nobody
    }
    watched_[directory] = watch;
  }
}

void NamedFiles::on_events(unsigned) {
  std::array<char, 4096> events;
  while (::read(inotify_.get(), events.data(), events.size()) > 0) {
  }
  quiet_.arm(kQuietFiles);
}

void NamedFiles::look() {
  feed_.store().read_files_again();
  if (feed_.store().changed()) feed_.touch();
}

}  // namespace mizzen::proxy
