// Files that resources name (certificates, keys, trust, revocations of a rule), followed: when
// something in their directories changes they are looked at again, once that is over for a moment,
// since a certificate and its key come one after the other. Main thread only.
#pragma once

#include <map>
#include <string>

#include "io/loop.h"
#include "proxy/feed/feed.h"

namespace mizzen::proxy {

class NamedFiles final : private io::FdHandler {
 public:
  // Both outlive this.
  NamedFiles(io::Loop& loop, ConfigFeed& feed);
  ~NamedFiles();
  NamedFiles(const NamedFiles&) = delete;
  NamedFiles& operator=(const NamedFiles&) = delete;

  // The store's resources may be others. A directory that cannot be watched is logged once.
  void follow();

 private:
  void on_events(unsigned events) override;
  void look();

  io::Loop& loop_;
  ConfigFeed& feed_;
  io::UniqueFd inotify_;
  std::map<std::string, int> watched_;  // directories; -1: in vain
  io::Timer quiet_;
};

}  // namespace mizzen::proxy
