// get, list and watch.
#include <fmt/core.h>

#include "base/strings.h"
#include "local/apiserver/parts.h"

namespace mizzen::local {

namespace {

Json partial_metadata(const Json& object) {
  return {{"kind", "PartialObjectMetadata"},
          {"apiVersion", "meta.k8s.io/v1"},
          {"metadata", at_path(object, {"metadata"})}};
}

// Where a list goes on: version of its first page, and the last object given.
struct Page {
  std::string version;
  std::string ns;
  std::string name;
};

std::string encode_page(const Page& page) {
  return base64url_encode(Json{{"v", page.version}, {"n", page.ns}, {"m", page.name}}.dump());
}

std::optional<Page> decode_page(std::string_view text) {
  auto bytes = base64_decode(text);
  if (!bytes) return std::nullopt;
  Json json = Json::parse(*bytes, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  return Page{object::string_at(json, {"v"}), object::string_at(json, {"n"}),
              object::string_at(json, {"m"})};
}

std::string pod_selector_text(const Json& object) {
  std::string text;
  const Json& labels = at_path(object, {"spec", "selector", "matchLabels"});
  if (!labels.is_object()) return text;
  for (const auto& [key, value] : labels.items()) {
    text +=
        (text.empty() ? "" : ",") + key + "=" + (value.is_string() ? value.get<std::string>() : "");
  }
  return text;
}

}  // namespace

ApiResponse Api::Parts::get(const ApiRequest& request, const Target& target) {
  Object found = store_.get(target.key());
  if (!found) return not_found(*target.type, target.name);
  switch (shape_of(request.accept)) {
    case Shape::kTable: {
      Json table = table_of(*target.type, target.version, {found}, target.param("includeObject"),
                            store_.wall());
      table["metadata"]["resourceVersion"] = std::to_string(version_of(*found));
      return json_response(table);
    }
    case Shape::kMetadata:
      return json_response(partial_metadata(*found));
    case Shape::kObject:
      break;
  }
  return json_response(as_version(*target.type, target.version, *found));
}

ApiResponse Api::Parts::list(const ApiRequest& request, const Target& target) {
  auto filter = filter_of(target);
  if (!filter) return bad_request(filter.error().message);
  auto objects = store_.list(target.type->resource(), target.ns, *filter);
  std::string version = std::to_string(store_.version());
  if (!target.param("continue").empty()) {
    auto page = decode_page(target.param("continue"));
    if (!page)
      return bad_request("continue key is not valid: the token was not made by this server");
    version = page->version;
    std::erase_if(objects, [&](const Object& object) {
      return std::pair(namespace_of(*object), name_of(*object)) <= std::pair(page->ns, page->name);
    });
  }
  Json metadata = {{"resourceVersion", version}};
  const auto limit = parse_int<std::size_t>(target.param("limit")).value_or(0);
  if (limit > 0 && objects.size() > limit) {
    const Json& last = *objects[limit - 1];
    metadata["continue"] = encode_page({version, namespace_of(last), name_of(last)});
    if ((*filter) == nullptr) metadata["remainingItemCount"] = objects.size() - limit;
    objects.resize(limit);
  }
  const Shape shape = shape_of(request.accept);
  if (shape == Shape::kTable) {
    Json table = table_of(*target.type, target.version, objects, target.param("includeObject"),
                          store_.wall());
    table["metadata"] = std::move(metadata);
    return json_response(table);
  }
  Json items = Json::array();
  for (const Object& object : objects) {
    items.push_back(shape == Shape::kMetadata ? partial_metadata(*object)
                                              : as_version(*target.type, target.version, *object));
  }
  Json body = {{"metadata", std::move(metadata)}, {"items", std::move(items)}};
  body["kind"] = shape == Shape::kMetadata ? "PartialObjectMetadataList" : target.type->list_kind();
  body["apiVersion"] = shape == Shape::kMetadata ? std::string("meta.k8s.io/v1")
                                                 : target.type->api_version(target.version);
  return json_response(body);
}

ApiResponse Api::Parts::get_scale(const Target& target) {
  Object found = store_.get(target.key());
  if (!found) return not_found(*target.type, target.name);
  const Json& meta = at_path(*found, {"metadata"});
  Json scale = {{"kind", "Scale"},
                {"apiVersion", "autoscaling/v1"},
                {"metadata",
                 {{"name", target.name},
                  {"namespace", target.ns},
                  {"uid", meta.value("uid", "")},
                  {"resourceVersion", meta.value("resourceVersion", "")},
                  {"creationTimestamp", meta.value("creationTimestamp", "")}}},
                {"spec", {{"replicas", object::int_at(*found, {"spec", "replicas"})}}},
                {"status",
                 {{"replicas", object::int_at(*found, {"status", "replicas"})},
                  {"selector", pod_selector_text(*found)}}}};
  return json_response(scale);
}

bool Api::is_watch(const ApiRequest& request) const {
  if (request.method != "GET") return false;
  const Query query = parse_query(request.query);
  auto watch = query.find("watch");
  return watch != query.end() && (watch->second == "true" || watch->second == "1");
}

namespace {

// Encodes the events of one watch.
class Encoder {
 public:
  Encoder(Target target, Shape shape, Store& store)
      : target_(std::move(target)), shape_(shape), store_(store) {}

  std::string event(std::string_view type, const Object& object) {
    Json body;
    if (shape_ == Shape::kTable) {
      body = table_of(*target_.type, target_.version, {object}, target_.param("includeObject"),
                      store_.wall());
      body["metadata"]["resourceVersion"] = std::to_string(version_of(*object));
      // Clients keep the columns of the first event.
      if (!first_) body["columnDefinitions"] = Json::array();
      first_ = false;
    } else if (shape_ == Shape::kMetadata) {
      body = partial_metadata(*object);
    } else {
      body = as_version(*target_.type, target_.version, *object);
    }
    return line(type, std::move(body));
  }

  std::string bookmark(bool initial_end) const {
    Json metadata = {{"resourceVersion", std::to_string(store_.version())},
                     {"creationTimestamp", nullptr}};
    if (initial_end) metadata["annotations"] = {{"k8s.io/initial-events-end", "true"}};
    Json body = {{"metadata", std::move(metadata)},
                 {"kind", target_.type->kind},
                 {"apiVersion", target_.type->api_version(target_.version)}};
    if (shape_ == Shape::kTable) {
      body = {{"kind", "Table"},
              {"apiVersion", "meta.k8s.io/v1"},
              {"metadata", {{"resourceVersion", std::to_string(store_.version())}}},
              {"columnDefinitions", Json::array()},
              {"rows", Json::array()}};
    }
    return line("BOOKMARK", std::move(body));
  }

 private:
  static std::string line(std::string_view type, Json object) {
    return Json{{"type", type}, {"object", std::move(object)}}.dump(
               -1, ' ', false, Json::error_handler_t::replace) +
           "\n";
  }

  Target target_;
  Shape shape_;
  Store& store_;
  bool first_ = true;
};

}  // namespace

std::expected<ApiWatch, ApiResponse> Api::start_watch(const ApiRequest& request,
                                                      std::function<void(std::string)> send) {
  auto target = parts_->route(request);
  if (!target) return std::unexpected(std::move(target.error()));
  if (!target->subresource.empty() || target->type->create_only) {
    return std::unexpected(method_not_allowed());
  }
  auto filter = filter_of(*target);
  if (!filter) return std::unexpected(bad_request(filter.error().message));
  const auto asked = target->param("resourceVersion");
  const bool send_initial = target->flag("sendInitialEvents");
  WatchOptions options;
  options.ns = target->ns;
  options.filter = *filter;
  options.since = store_.version();
  const bool from_start = asked.empty() || asked == "0" || send_initial;
  if (!from_start) {
    auto version = parse_int<std::uint64_t>(asked);
    if (!version) {
      return std::unexpected(
          bad_request(fmt::format("resourceVersion: Invalid value: \"{}\"", asked)));
    }
    options.since = *version;
  }
  auto encoder = std::make_shared<Encoder>(*target, shape_of(request.accept), store_);
  auto watch = store_.watch(target->type->resource(), options, [encoder, send](const Event& event) {
    send(encoder->event(to_string(event.type), event.object));
  });
  if (!watch) return std::unexpected(gone(watch.error().message));
  if (from_start && target->param("sendInitialEvents") != "false") {
    for (const Object& object : store_.list(target->type->resource(), target->ns, *filter)) {
      send(encoder->event("ADDED", object));
    }
  }
  const bool bookmarks = target->flag("allowWatchBookmarks");
  if (send_initial && bookmarks) send(encoder->bookmark(true));
  ApiWatch result;
  result.watch = std::move(*watch);
  const auto seconds = parse_int<int>(target->param("timeoutSeconds")).value_or(0);
  if (seconds > 0) result.timeout = std::chrono::seconds(seconds);
  if (bookmarks) {
    result.bookmark = [encoder] { return encoder->bookmark(false); };
  }
  return result;
}

}  // namespace mizzen::local
