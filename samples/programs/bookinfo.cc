#include "samples/bookinfo.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace mizzen::samples {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;
using std::chrono::seconds;

// "/ratings/7" gives 7; nothing for a path of another form.
std::optional<int> id_of(std::string_view path, std::string_view prefix) {
  if (!path.starts_with(prefix)) return std::nullopt;
  return parse_int<int>(path.substr(prefix.size()));
}

std::string ratings_url(std::string_view id) {
  return fmt::format("http://{}{}:{}/ratings/{}", env_or("RATINGS_HOSTNAME", "ratings"),
                     env_or("SERVICES_DOMAIN", ""), env_or("RATINGS_SERVICE_PORT", "9080"), id);
}

struct Review {
  const char* reviewer;
  const char* text;
};
constexpr Review kReviews[] = {
    {"Reviewer1",
     "Two pairs of twins, one city, and not a dull minute: the funniest of his plays."},
    {"Reviewer2", "Light and quick, though it has less to say than the comedies that came after."},
};

std::string reviews_body(std::string_view id, const char* color, const Result<Json>& stars) {
  Json reviews = Json::array();
  for (const Review& review : kReviews) {
    Json entry = {{"reviewer", review.reviewer}, {"text", review.text}};
    if (color != nullptr) {
      if (stars && stars->contains(review.reviewer)) {
        entry["rating"] = {{"stars", (*stars)[review.reviewer]}, {"color", color}};
      } else {
        entry["rating"] = {{"error", "Ratings service is currently unavailable"}};
      }
    }
    reviews.push_back(std::move(entry));
  }
  return Json{{"id", std::string(id)},
              {"podname", env_or("HOSTNAME", "null")},
              {"clustername", env_or("CLUSTER_NAME", "null")},
              {"reviews", std::move(reviews)}}
      .dump();
}

Result<Json> stars_of(const Result<Reply>& reply) {
  if (!reply) return std::unexpected(reply.error());
  Json body = Json::parse(reply->body, nullptr, false);
  if (reply->status != 200 || !body.is_object() || !body.contains("ratings")) {
    return fail(Code::kUnavailable, fmt::format("ratings answered {}", reply->status));
  }
  return body["ratings"];
}

// A service that plays broken, by its SERVICE_VERSION, for tests of outlier detection and retries.
class Ailment {
 public:
  explicit Ailment(std::string version) : version_(std::move(version)) {}

  // True when the call has been, or will be, answered here.
  bool answers(Service& service, const Answer& answer, const std::function<void()>& healthy) {
    std::uint64_t turn = turn_++;
    if (version_ == "v-unavailable" && turn / 64 % 2 == 1) {
      answer(json(503, R"({"error":"Service unavailable"})"));
      return true;
    }
    if (version_ == "v-unhealthy" && turn / 64 % 2 == 1) return true;  // never answers
    if (version_ == "v-faulty" && turn % 2 == 1) {
      answer(json(turn % 4 == 1 ? 500 : 503, R"({"error":"Faulty on purpose"})"));
      return true;
    }
    if (version_ == "v-delayed" && turn % 2 == 1) {
      service.after(seconds(7), healthy);
      return true;
    }
    return false;
  }

 private:
  std::string version_;
  std::uint64_t turn_ = 0;
};

}  // namespace

Handler details() {
  return [](const Call& call, const Answer& answer) {
    if (call.path == "/health") return answer(json(200, R"({"status":"Details is healthy"})"));
    std::optional<int> id = id_of(call.path, "/details/");
    if (!id) return answer(json(400, R"({"error":"please provide numeric product id"})"));
    answer(json(200, Json{{"id", *id},
                          {"author", "William Shakespeare"},
                          {"year", 1595},
                          {"type", "paperback"},
                          {"pages", 200},
                          {"publisher", "PublisherA"},
                          {"language", "English"},
                          {"ISBN-10", "1234567890"},
                          {"ISBN-13", "123-1234567890"}}
                         .dump()));
  };
}

Handler reviews(Service& service, std::string version) {
  const char* color = version == "v2" ? "black" : version == "v3" ? "red" : nullptr;
  // v2 waits longer than the page does, so that a delayed rating shows as a missing review.
  Duration patience = version == "v2" ? Duration(seconds(10)) : Duration(milliseconds(2500));
  return [&service, color, patience](const Call& call, const Answer& answer) {
    if (call.path == "/health") return answer(json(200, R"({"status": "Reviews is healthy"})"));
    std::optional<int> id = id_of(call.path, "/reviews/");
    if (!id) return answer(json(404, R"({"error":"no such page"})"));
    std::string product = std::to_string(*id);
    if (color == nullptr) {
      return answer(json(200, reviews_body(product, nullptr, fail(Code::kNotFound, ""))));
    }
    service.call("GET", ratings_url(product), trace_headers(call), patience,
                 [answer, product, color](const Result<Reply>& reply) {
                   answer(json(200, reviews_body(product, color, stars_of(reply))));
                 });
  };
}

Handler ratings(Service& service) {
  struct State {
    std::map<int, std::map<std::string, int>> posted;
    Ailment ailment{env_or("SERVICE_VERSION", "v1")};
  };
  auto state = std::make_shared<State>();
  return [&service, state](const Call& call, const Answer& answer) {
    if (call.path == "/health") return answer(json(200, R"({"status":"Ratings is healthy"})"));
    std::optional<int> id = id_of(call.path, "/ratings/");
    if (!id) return answer(json(400, R"({"error":"please provide numeric product ID"})"));
    if (call.method == "POST") {
      Json stars = Json::parse(call.body, nullptr, false);
      if (!stars.is_object()) {
        return answer(json(400, R"({"error":"please provide valid ratings JSON"})"));
      }
      std::map<std::string, int> kept;
      for (const auto& [reviewer, value] : stars.items()) {
        if (value.is_number_integer() && kept.size() < 100) kept[reviewer] = value.get<int>();
      }
      if (state->posted.size() < 1000) state->posted[*id] = kept;
      return answer(json(200, Json{{"id", *id}, {"ratings", kept}}.dump()));
    }
    auto healthy = [state, answer, id = *id] {
      auto found = state->posted.find(id);
      Json stars = found != state->posted.end() ? Json(found->second)
                                                : Json{{"Reviewer1", 5}, {"Reviewer2", 4}};
      answer(json(200, Json{{"id", id}, {"ratings", stars}}.dump()));
    };
    if (!state->ailment.answers(service, answer, healthy)) healthy();
  };
}

}  // namespace mizzen::samples
