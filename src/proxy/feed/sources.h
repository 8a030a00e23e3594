// All that tells a proxy its configuration while it runs: ADS, streams of single types, files. What
// the bootstrap names is started at once, what a resource names (its ConfigSource) when a resource
// first does. Main thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/bootstrap/bootstrap.h"
#include "proxy/feed/feed.h"
#include "proxy/feed/file_source.h"
#include "proxy/feed/named_files.h"
#include "proxy/feed/xds_source.h"

namespace mizzen::proxy {

class ConfigSources {
 public:
  // All that is given outlives this.
  ConfigSources(io::Loop& loop, ConfigFeed& feed, const Bootstrap& bootstrap);
  ~ConfigSources();
  ConfigSources(const ConfigSources&) = delete;
  ConfigSources& operator=(const ConfigSources&) = delete;

  // Subscribes to name tables (istio.networking.nds.v1.NameTable) on ADS and hands each to `take`,
  // whose error is the NACK's reason. Before start().
  void follow_names(std::function<Status(std::string_view)> take);
  Status start();
  // Whether the first configuration has come from all that the bootstrap names.
  bool initialized() const;
  // The stream that pages speak of: ADS, or the first other one; null when there is none.
  const XdsSource* control_plane() const;

 private:
  using Key = std::pair<ConfigOrigin, std::string>;  // and type URL
  Status start_type(const DynamicType& type, std::string_view type_url);
  Status open(const ConfigOrigin& origin, std::string_view type_url, bool everything);
  void follow_needs();

  io::Loop& loop_;
  ConfigFeed& feed_;
  const Bootstrap& bootstrap_;
  std::function<Status(std::string_view)> take_names_;
  std::unique_ptr<XdsSource> ads_;
  std::map<Key, std::unique_ptr<XdsSource>> streams_;
  std::map<Key, std::unique_ptr<FileSource>> files_;
  NamedFiles named_files_;
  std::map<Key, std::string> failed_;  // why one could not be opened, said once
  std::vector<io::TimerId> limits_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace mizzen::proxy
