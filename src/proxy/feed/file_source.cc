#include "proxy/feed/file_source.h"

#include <google/protobuf/text_format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "api/json_to_wire.h"
#include "api/schemas.h"
#include "base/log.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "proxy/bootstrap/bootstrap.h"

namespace mizzen::proxy {
namespace {

using envoy::service::discovery::v3::DiscoveryResponse;

Result<DiscoveryResponse> parse(const std::string& path, const std::string& text) {
  DiscoveryResponse response;
  if (path.ends_with(".pb")) {
    if (response.ParseFromString(text)) return response;
    return fail(Code::kInvalid, "not a DiscoveryResponse");
  }
  if (path.ends_with(".pb_text")) {
    api::register_schemas();
    if (google::protobuf::TextFormat::ParseFromString(text, &response)) return response;
    return fail(Code::kInvalid, "not a DiscoveryResponse in text format");
  }
  MIZZEN_TRY(const auto json, read_yaml(text));  // which JSON is, too
  MIZZEN_TRY(const std::string bytes,
             api::json_to_wire(json, "envoy.service.discovery.v3.DiscoveryResponse"));
  if (!response.ParseFromString(bytes)) return fail(Code::kInvalid, "text that is not UTF-8");
  return response;
}

}  // namespace

FileSource::FileSource(io::Loop& loop, ConfigFeed& feed, ConfigOrigin origin, std::string type_url,
                       bool everything)
    : loop_(loop),
      feed_(feed),
      origin_(std::move(origin)),
      type_url_(std::move(type_url)),
      everything_(everything),
      client_(std::string()),
      read_(io::Task::of<&FileSource::read>(loop, this)) {
  if (everything_) client_.subscribe_all(type_url_);
}

FileSource::~FileSource() {
  if (watch_) loop_.unwatch(watch_.get());
}

Status FileSource::start() {
  watch_ = io::UniqueFd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  const bool watched = watch_ && ::inotify_add_watch(watch_.get(), origin_.directory.c_str(),
                                                     IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE) >= 0;
  if (!watched) {
    return fail(Code::kUnavailable,
                "cannot watch " + origin_.directory + ": " + std::strerror(errno));
  }
  MIZZEN_CHECKED(loop_.watch_level(watch_.get(), this));
  follow_needs();
  read_.schedule();
  return {};
}

void FileSource::follow_needs() {
  if (everything_) return;
  auto all = feed_.store().needed(type_url_);
  if (names_ == all[origin_]) return;
  names_ = all[origin_];
  client_.set_names(type_url_, names_);
  last_.clear();  // what was left out before may be wanted now
  read_.schedule();
}

void FileSource::on_events(unsigned) {
  std::array<char, 4096> events;
  while (::read(watch_.get(), events.data(), events.size()) > 0) {
  }
  read_.schedule();
}

void FileSource::read() {
  std::ifstream file(origin_.path, std::ios::binary);
  if (!file) {
    if (last_ != origin_.path) log::warning("xds", "cannot read {}; waiting", origin_.path);
    last_ = origin_.path;
    return;
  }
  std::stringstream text;
  text << file.rdbuf();
  if (text.view() == last_) return;
  last_ = text.str();
  if (Status taken = take(last_); !taken) {
    log::warning("xds", "{}: {}", origin_.path, taken.error().message);
  }
}

Status FileSource::take(const std::string& text) {
  MIZZEN_TRY(auto response, parse(origin_.path, text));
  if (response.type_url().empty()) response.set_type_url(type_url_);
  if (response.version_info().empty()) response.set_version_info(xds::content_version(text));
  MIZZEN_TRY(auto update, client_.receive(response.SerializeAsString()));
  auto rejections = feed_.store().apply(update);
  client_.answer(update, rejections);
  feed_.touch();
  if (!rejections.empty()) return fail(Code::kInvalid, xds::describe(rejections));
  return {};
}

}  // namespace mizzen::proxy
