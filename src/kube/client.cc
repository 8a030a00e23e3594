#include "kube/client.h"

#include <fmt/format.h>

#include <fstream>
#include <optional>
#include <sstream>

#include "base/strings.h"
#include "kube/http_options.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "object/json.h"

namespace mizzen::kube {
namespace {

constexpr std::size_t kMaxEventLine = 16 * 1024 * 1024;
constexpr Duration kTokenAge = std::chrono::seconds(60);

Code code_of(int status, std::string_view reason) {
  switch (status) {
    case 400:
    case 415:
    case 422:
      return Code::kInvalid;
    case 401:
      return Code::kUnauthenticated;
    case 403:
      return Code::kDenied;
    case 404:
      return Code::kNotFound;
    case 409:
      return reason == "AlreadyExists" ? Code::kExists : Code::kConflict;
    case 410:
      return Code::kClosed;
    case 413:
      return Code::kLimit;
    default:
      return status == 429 || status >= 500 ? Code::kUnavailable : Code::kInternal;
  }
}

Error error_of(int status, std::string_view body) {
  Json parsed = Json::parse(body, nullptr, false);
  std::string message = object::string_at(parsed, {"message"});
  std::string reason = object::string_at(parsed, {"reason"});
  if (message.empty()) message = fmt::format("HTTP status {}: {}", status, body.substr(0, 300));
  return {code_of(status, reason), Side::kUpstream, false, message};
}

const char* content_type(PatchType type) {
  switch (type) {
    case PatchType::kJson:
      return "application/json-patch+json";
    case PatchType::kMerge:
      return "application/merge-patch+json";
    case PatchType::kStrategic:
      return "application/strategic-merge-patch+json";
    case PatchType::kApply:
      return "application/apply-patch+yaml";
  }
  return "";
}

std::string query_of(const ListOptions& options) {
  std::string out;
  auto add = [&out](std::string_view name, std::string_view value) {
    if (value.empty()) return;
    out += fmt::format("{}{}={}", out.empty() ? "?" : "&", name, net::url_encode(value));
  };
  add("labelSelector", options.label_selector);
  add("fieldSelector", options.field_selector);
  return out;
}

std::string join_query(std::string query, std::string_view more) {
  return query.empty() ? fmt::format("?{}", more) : fmt::format("{}&{}", query, more);
}

// Items of a list carry no kind of their own.
void take_items(Json& list, ObjectList* out) {
  std::string kind = object::string_at(list, {"kind"});
  if (kind.ends_with("List")) kind.resize(kind.size() - 4);
  std::string api_version = object::string_at(list, {"apiVersion"});
  auto items = list.find("items");
  if (items == list.end() || !items->is_array()) return;
  for (Json& item : *items) {
    if (!item.is_object()) continue;
    item.emplace("kind", kind);
    item.emplace("apiVersion", api_version);
    out->items.push_back(std::move(item));
  }
}

std::string metadata_of(const Json& object, const char* key) {
  return object::string_at(object, {"metadata", key});
}

std::vector<std::string> strings_at(const Json& value,
                                    std::initializer_list<std::string_view> path) {
  std::vector<std::string> out;
  const Json* list = object::find(value, path);
  if (list == nullptr || !list->is_array()) return out;
  for (const Json& item : *list) {
    if (item.is_string()) out.push_back(item.get<std::string>());
  }
  return out;
}

std::optional<Client::WatchEvent::Type> event_type(std::string_view name) {
  using Type = Client::WatchEvent::Type;
  if (name == "ADDED") return Type::kAdded;
  if (name == "MODIFIED") return Type::kModified;
  if (name == "DELETED") return Type::kDeleted;
  if (name == "BOOKMARK") return Type::kBookmark;
  return std::nullopt;
}

// A watch: one JSON document per line of an endless body.
class HttpWatch final : public Client::Watch, public std::enable_shared_from_this<HttpWatch> {
 public:
  HttpWatch(io::Loop& loop, std::function<void(Client::WatchEvent)> on_event,
            std::function<void(Status)> ended)
      : loop_(loop), on_event_(std::move(on_event)), ended_(std::move(ended)) {}

  void start(net::HttpClient& http, net::Request request) {
    std::weak_ptr<HttpWatch> weak = shared_from_this();
    net::StreamCallbacks callbacks;
    callbacks.on_head = [weak](const http::ResponseHead& head) {
      if (auto self = weak.lock()) self->status_ = head.status;
    };
    callbacks.on_data = [weak](std::string_view bytes) {
      if (auto self = weak.lock()) self->on_data(bytes);
    };
    callbacks.on_closed = [weak](const Status& status) {
      if (auto self = weak.lock()) self->on_closed(status);
    };
    call_ = http.open(std::move(request), true, std::move(callbacks));
  }
  void stop() {
    on_event_ = nullptr;
    ended_ = nullptr;
    loop_.defer([call = std::shared_ptr<net::ClientCall>(std::move(call_))] {});
  }

 private:
  void on_data(std::string_view bytes) {
    line_.append(bytes);
    if (status_ != 200) return;
    std::size_t begin = 0;
    for (std::size_t end; (end = line_.find('\n', begin)) != line_.npos; begin = end + 1) {
      if (!on_line(std::string_view(line_).substr(begin, end - begin))) return;
    }
    line_.erase(0, begin);
    if (line_.size() > kMaxEventLine) {
      end({Code::kLimit, Side::kUpstream, false, "a watch event of more than 16 MiB"});
    }
  }

  // False once the watch is over.
  bool on_line(std::string_view line) {
    if (trim(line).empty()) return ended_ != nullptr;
    Json event = Json::parse(line, nullptr, false);
    if (!event.is_object() || !event.contains("object")) {
      end({Code::kProtocol, Side::kUpstream, false, "a watch event that is not JSON"});
      return false;
    }
    std::string name = object::string_at(event, {"type"});
    if (name == "ERROR") {
      end(error_of(static_cast<int>(object::int_at(event, {"object", "code"}, 500)),
                   event["object"].dump()));
      return false;
    }
    auto type = event_type(name);
    if (type && on_event_) on_event_({*type, std::move(event["object"])});
    return ended_ != nullptr;
  }

  void on_closed(const Status& status) {
    if (status_ != 0 && status_ != 200) return end(error_of(status_, line_));
    if (!status) return end(status.error());
    finish({});
  }
  void end(Error error) { finish(std::unexpected(std::move(error))); }
  void finish(Status status) {
    auto ended = std::move(ended_);
    auto keep = shared_from_this();
    stop();
    if (ended) ended(std::move(status));
  }

  io::Loop& loop_;
  std::function<void(Client::WatchEvent)> on_event_;
  std::function<void(Status)> ended_;
  std::unique_ptr<net::ClientCall> call_;
  std::string line_;
  int status_ = 0;
};

class WatchHandle final : public Client::Watch {
 public:
  explicit WatchHandle(std::shared_ptr<HttpWatch> watch) : watch_(std::move(watch)) {}
  ~WatchHandle() override { watch_->stop(); }

 private:
  std::shared_ptr<HttpWatch> watch_;
};

class HttpKubeClient final : public Client {
 public:
  HttpKubeClient(io::Loop& loop, Config config, net::HttpClientOptions options)
      : loop_(loop), config_(std::move(config)), http_(loop, std::move(options)) {}

  io::Loop& loop() const override { return loop_; }
  const Config& config() const override { return config_; }

  void get(const Resource& resource, std::string_view name_space, std::string_view name,
           Done done) override {
    json("GET", resource.path(name_space, name), "", "", std::move(done));
  }

  void list(const Resource& resource, const ListOptions& options, ListDone done) override {
    list_page(resource.path(options.name_space), options, "", std::make_shared<ObjectList>(),
              std::move(done));
  }

  void create(const Resource& resource, std::string_view name_space, const Json& object, Done done,
              std::string_view name, std::string_view subresource) override {
    json("POST", resource.path(name_space, name, subresource), object.dump(), "application/json",
         std::move(done));
  }

  void update(const Resource& resource, const Json& object, Done done,
              std::string_view subresource) override {
    json("PUT",
         resource.path(metadata_of(object, "namespace"), metadata_of(object, "name"), subresource),
         object.dump(), "application/json", std::move(done));
  }

  void patch(const Resource& resource, std::string_view name_space, std::string_view name,
             PatchType type, const Json& patch, Done done, std::string_view subresource,
             std::string_view field_manager) override {
    std::string query;
    if (!field_manager.empty()) query = "?fieldManager=" + net::url_encode(field_manager);
    if (type == PatchType::kApply) query = join_query(query, "force=true");
    json("PATCH", resource.path(name_space, name, subresource) + query, patch.dump(),
         content_type(type), std::move(done));
  }

  void remove(const Resource& resource, std::string_view name_space, std::string_view name,
              Done done, const Json& delete_options) override {
    json("DELETE", resource.path(name_space, name),
         delete_options.is_null() ? "" : delete_options.dump(), "application/json",
         std::move(done));
  }

  void review_token(std::string_view token, const std::vector<std::string>& audiences,
                    std::function<void(Result<TokenOwner>)> done) override {
    Json review = {{"apiVersion", "authentication.k8s.io/v1"},
                   {"kind", "TokenReview"},
                   {"spec", {{"token", std::string(token)}, {"audiences", audiences}}}};
    create(
        {"authentication.k8s.io", "v1", "tokenreviews", false}, "", review,
        [done = std::move(done)](Result<Json> answer) {
          if (!answer) return done(std::unexpected(answer.error()));
          done(owner_of(*answer));
        },
        "", "");
  }

  void request(std::string_view method, std::string_view target, std::string_view body,
               std::string_view type, std::function<void(Result<Raw>)> done) override {
    http_.fetch(make_request(method, target, body, type),
                [done = std::move(done)](Result<net::Response> response) {
                  if (!response) return done(std::unexpected(response.error()));
                  if (response->status < 200 || response->status > 299) {
                    return done(std::unexpected(error_of(response->status, response->body)));
                  }
                  std::string content_type(response->header("content-type"));
                  done(Raw{response->status, std::move(content_type), std::move(response->body)});
                });
  }

  std::unique_ptr<Watch> watch(const Resource& resource, const ListOptions& options,
                               std::string_view resource_version,
                               std::function<void(WatchEvent)> on_event,
                               std::function<void(Status)> ended) override {
    std::string query = join_query(query_of(options), "watch=true&allowWatchBookmarks=true");
    if (!resource_version.empty()) {
      query += "&resourceVersion=" + net::url_encode(resource_version);
    }
    net::Request request = make_request("GET", resource.path(options.name_space) + query, "", "");
    auto watch = std::make_shared<HttpWatch>(loop_, std::move(on_event), std::move(ended));
    watch->start(http_, std::move(request));
    return std::make_unique<WatchHandle>(std::move(watch));
  }

 private:
  static Result<TokenOwner> owner_of(const Json& review) {
    if (!object::bool_at(review, {"status", "authenticated"})) {
      return fail(Code::kUnauthenticated,
                  object::string_at(review, {"status", "error"}, "the token is not valid"));
    }
    TokenOwner owner;
    owner.username = object::string_at(review, {"status", "user", "username"});
    owner.uid = object::string_at(review, {"status", "user", "uid"});
    owner.groups = strings_at(review, {"status", "user", "groups"});
    owner.audiences = strings_at(review, {"status", "audiences"});
    auto extra = [&review](std::string_view key) {
      auto values = strings_at(review, {"status", "user", "extra", key});
      return values.empty() ? std::string() : values.front();
    };
    owner.pod_name = extra("authentication.kubernetes.io/pod-name");
    owner.pod_uid = extra("authentication.kubernetes.io/pod-uid");
    return owner;
  }

  net::Request make_request(std::string_view method, std::string_view target, std::string_view body,
                            std::string_view type) {
    net::Request request{.method = std::string(method), .target = std::string(target)};
    request.body = body;
    request.headers = {{"accept", "application/json"}, {"user-agent", "mizzen"}};
    if (!body.empty()) request.headers.emplace_back("content-type", type);
    std::string credentials = authorization();
    if (!credentials.empty()) request.headers.emplace_back("authorization", credentials);
    return request;
  }

  std::string authorization() {
    if (!config_.token_file.empty() && (!token_read_ || loop_.now() - *token_read_ >= kTokenAge)) {
      std::ifstream in(config_.token_file);
      std::string token;
      if (in >> token) config_.token = token;
      token_read_ = loop_.now();
    }
    if (!config_.token.empty()) return "Bearer " + config_.token;
    if (config_.username.empty()) return {};
    return "Basic " + base64_encode(config_.username + ":" + config_.password);
  }

  void json(std::string_view method, const std::string& target, std::string_view body,
            std::string_view type, Done done) {
    request(method, target, body, type, [done = std::move(done)](Result<Raw> raw) {
      if (!raw) return done(std::unexpected(raw.error()));
      Json parsed = Json::parse(raw->body, nullptr, false);
      if (parsed.is_discarded()) {
        return done(fail(Code::kProtocol, "the API server's answer is not JSON", Side::kUpstream));
      }
      done(std::move(parsed));
    });
  }

  void list_page(const std::string& path, const ListOptions& options, const std::string& next,
                 std::shared_ptr<ObjectList> out, ListDone done) {
    std::string query = join_query(query_of(options), fmt::format("limit={}", options.limit));
    if (!next.empty()) query += "&continue=" + net::url_encode(next);
    json("GET", path + query, "", "",
         [this, path, options, out, done = std::move(done)](Result<Json> page) {
           if (!page) return done(std::unexpected(page.error()));
           take_items(*page, out.get());
           out->resource_version = metadata_of(*page, "resourceVersion");
           std::string next = metadata_of(*page, "continue");
           if (next.empty()) return done(std::move(*out));
           list_page(path, options, next, out, done);
         });
  }

  io::Loop& loop_;
  Config config_;
  net::HttpClient http_;
  std::optional<MonoTime> token_read_;
};

}  // namespace

std::string Resource::path(std::string_view name_space, std::string_view name,
                           std::string_view subresource) const {
  std::string out = group.empty() ? "/api/" + version : fmt::format("/apis/{}/{}", group, version);
  if (namespaced && !name_space.empty()) out += fmt::format("/namespaces/{}", name_space);
  out += "/" + plural;
  if (!name.empty()) out += "/" + net::url_encode(name);
  if (!subresource.empty()) out += fmt::format("/{}", subresource);
  return out;
}

Result<std::unique_ptr<Client>> Client::make(io::Loop& loop, Config config) {
  MIZZEN_TRY(net::HttpClientOptions options, http_options(config));
  options.max_connections = 256;  // each watch takes one
  // Finds servers that went without a word.
  options.connect.keepalive = {std::chrono::seconds(30), {}, 0};
  return std::make_unique<HttpKubeClient>(loop, std::move(config), std::move(options));
}

}  // namespace mizzen::kube
