// Configuration from a file (path_config_source): a DiscoveryResponse in YAML, JSON, text or binary
// protobuf, by the file's ending. Read again when something changes in its directory: written in
// place, moved over, or swapped by a symbolic link as Kubernetes does. A file that does not parse
// or holds a bad resource is logged, and what was there before stays. Main thread only.
#pragma once

#include <set>
#include <string>

#include "io/loop.h"
#include "proxy/feed/feed.h"
#include "xds/sotw_client.h"

namespace mizzen::proxy {

class FileSource final : private io::FdHandler {
 public:
  // `everything`: all resources of the file are taken, and those that are gone are removed; else
  // those that the store needs from `origin`. `feed` and `loop` outlive this.
  FileSource(io::Loop& loop, ConfigFeed& feed, ConfigOrigin origin, std::string type_url,
             bool everything);
  ~FileSource();
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  // Reads it for the first time. A directory that cannot be watched is an error; a file that is
  // not there is waited for.
  Status start();
  // The store's needs may have changed.
  void follow_needs();

 private:
  void on_events(unsigned events) override;
  void read();
  Status take(const std::string& text);

  io::Loop& loop_;
  ConfigFeed& feed_;
  const ConfigOrigin origin_;
  const std::string type_url_;
  const bool everything_;
  xds::SotwClient client_;
  std::set<std::string> names_;
  io::UniqueFd watch_;
  io::Task read_;
  std::string last_;  // the text that was taken last, well or not
};

}  // namespace mizzen::proxy
