#include "proxy/feed/sources.h"

#include "api/names.h"
#include "base/log.h"

namespace mizzen::proxy {

ConfigSources::ConfigSources(io::Loop& loop, ConfigFeed& feed, const Bootstrap& bootstrap)
    : loop_(loop), feed_(feed), bootstrap_(bootstrap), named_files_(loop, feed) {
  feed_.on_published([this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) follow_needs();
  });
}

ConfigSources::~ConfigSources() {
  for (io::TimerId id : limits_) loop_.cancel(id);
}

void ConfigSources::follow_names(std::function<Status(std::string_view)> take) {
  take_names_ = std::move(take);
}

Status ConfigSources::start() {
  if (bootstrap_.discovery) {
    XdsScope scope = XdsScope::all();
    const auto by_ads = [](const std::optional<DynamicType>& type) {
      return type && type->origin.kind == ConfigOrigin::Kind::kAds;
    };
    std::erase_if(scope.everything, [&](const std::string& type) {
      return !by_ads(type == api::kClusterType ? bootstrap_.dynamic_clusters
                                               : bootstrap_.dynamic_listeners);
    });
    if (bootstrap_.on_demand) scope.named.emplace_back(api::kDestinationType);
    ads_ = std::make_unique<XdsSource>(loop_, feed_, *bootstrap_.discovery, bootstrap_.node,
                                       std::move(scope));
    if (take_names_) ads_->follow_names(take_names_);
    ads_->start();
  }
  if (bootstrap_.dynamic_clusters) {
    MIZZEN_CHECKED(start_type(*bootstrap_.dynamic_clusters, api::kClusterType));
  }
  if (bootstrap_.dynamic_listeners) {
    MIZZEN_CHECKED(start_type(*bootstrap_.dynamic_listeners, api::kListenerType));
  }
  return {};
}

Status ConfigSources::start_type(const DynamicType& type, std::string_view type_url) {
  if (type.origin.kind != ConfigOrigin::Kind::kAds) {
    MIZZEN_CHECKED(open(type.origin, type_url, true));
  }
  if (type.fetch_timeout.count() == 0) return {};
  limits_.push_back(loop_.after(type.fetch_timeout, [this, url = std::string(type_url)] {
    if (!feed_.store().version(url).empty()) return;
    feed_.store().give_up(url);
    feed_.touch();
  }));
  return {};
}

Status ConfigSources::open(const ConfigOrigin& origin, std::string_view type_url, bool everything) {
  const Key key{origin, std::string(type_url)};
  if (origin.kind == ConfigOrigin::Kind::kPath) {
    auto& file = files_[key];
    file = std::make_unique<FileSource>(loop_, feed_, origin, std::string(type_url), everything);
    return file->start();
  }
  MIZZEN_TRY(auto settings, discovery_settings(bootstrap_.clusters, origin));
  XdsScope scope;
  scope.origin = origin;
  (everything ? scope.everything : scope.named).push_back(std::string(type_url));
  auto& stream = streams_[key];
  stream = std::make_unique<XdsSource>(loop_, feed_, std::move(settings), bootstrap_.node,
                                       std::move(scope));
  stream->start();
  return {};
}

void ConfigSources::follow_needs() {
  named_files_.follow();
  for (std::string_view type : {api::kEndpointType, api::kRouteType, api::kSecretType}) {
    for (const auto& [origin, names] : feed_.store().needed(type)) {
      if (origin.kind == ConfigOrigin::Kind::kAds) continue;
      const Key key{origin, std::string(type)};
      if (streams_.contains(key) || failed_.contains(key)) continue;
      if (auto file = files_.find(key); file != files_.end()) {
        file->second->follow_needs();
        continue;
      }
      Status opened = open(origin, type, false);
      if (opened) continue;
      log::error("xds", "{} '{}': {}", xds::short_type(type), *names.begin(),
                 opened.error().message);
      failed_[key] = opened.error().message;
    }
  }
}

bool ConfigSources::initialized() const {
  return feed_.store().initialized(bootstrap_.dynamic_clusters.has_value(),
                                   bootstrap_.dynamic_listeners.has_value());
}

const XdsSource* ConfigSources::control_plane() const {
  if (ads_) return ads_.get();
  return streams_.empty() ? nullptr : streams_.begin()->second.get();
}

}  // namespace mizzen::proxy
