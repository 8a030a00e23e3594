#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "samples/bookinfo.h"
#include "samples/bookinfo_page.h"

namespace mizzen::samples {
namespace {

using Json = nlohmann::ordered_json;
using std::chrono::seconds;

constexpr std::string_view kProducts =
    R"([{"id":0,"title":"The Comedy of Errors","descriptionHtml":"Two masters and two servants, each the image of his twin."}])";

std::string service_url(const char* service, const char* host_env, const char* port_env,
                        std::string_view path) {
  return fmt::format("http://{}{}:{}{}", env_or(host_env, service), env_or("SERVICES_DOMAIN", ""),
                     env_or(port_env, "9080"), path);
}

// The session is the user's name, base64url encoded: a sample signs nobody in for real.
std::string user_of(const Call& call) {
  for (std::string_view cookie : split(call.header("cookie"), ';')) {
    cookie = trim(cookie);
    if (!cookie.starts_with("session=")) continue;
    return base64_decode(cookie.substr(8)).value_or("");
  }
  return "";
}

std::string form_value(std::string_view form, std::string_view name) {
  for (std::string_view pair : split(form, '&')) {
    std::size_t equals = pair.find('=');
    if (equals != pair.npos && pair.substr(0, equals) == name) {
      return percent_decode(pair.substr(equals + 1));
    }
  }
  return "";
}

Reply redirect(std::string location, std::string cookie) {
  return {302, {{"location", std::move(location)}, {"set-cookie", std::move(cookie)}}, ""};
}

class ProductPage : public std::enable_shared_from_this<ProductPage> {
 public:
  explicit ProductPage(Service& service) : service_(service) {}

  void handle(const Call& call, const Answer& answer) {
    if (call.path == "/health") return answer(text(200, "Product page is healthy"));
    if (call.path == "/" || call.path == "/index.html") return answer(html(index_page()));
    if (call.path == "/metrics") return answer(metrics());
    if (call.path == "/login" && call.method == "POST") return answer(sign_in(call));
    if (call.path == "/logout") {
      return answer(redirect("/productpage", "session=; Path=/; Max-Age=0"));
    }
    if (call.path == "/productpage") return page(call, answer);
    if (call.path == "/api/v1/products") return answer(json(200, std::string(kProducts)));
    if (call.path.starts_with("/api/v1/products/")) return api(call, answer);
    answer(text(404, "Not Found"));
  }

 private:
  struct View {
    std::string user;
    Result<Reply> details = fail(Code::kInternal, "");
    Result<Reply> reviews = fail(Code::kInternal, "");
    int waiting = 2;
  };

  HeaderList headers_for(const Call& call) {
    HeaderList headers = trace_headers(call);
    std::string user = user_of(call);
    std::erase_if(headers, [](const auto& header) { return header.first == "end-user"; });
    if (!user.empty()) headers.emplace_back("end-user", user);
    return headers;
  }

  void ask(const char* app, std::string url, const HeaderList& headers, int tries,
           const std::function<void(Result<Reply>)>& done) {
    service_.call("GET", url, headers, seconds(3),
                  [self = shared_from_this(), app, url, headers, tries, done](Result<Reply> reply) {
                    ++self->results_[{app, reply ? reply->status : 504}];
                    if (!reply && tries > 1) return self->ask(app, url, headers, tries - 1, done);
                    done(std::move(reply));
                  });
  }
  void ask_details(const Call& call, std::string_view id,
                   const std::function<void(Result<Reply>)>& done) {
    ask("details",
        service_url("details", "DETAILS_HOSTNAME", "DETAILS_SERVICE_PORT",
                    fmt::format("/details/{}", id)),
        headers_for(call), 1, done);
  }
  // Twice, so that one lost answer does not cost the reader the reviews.
  void ask_reviews(const Call& call, std::string_view id,
                   const std::function<void(Result<Reply>)>& done) {
    ask("reviews",
        service_url("reviews", "REVIEWS_HOSTNAME", "REVIEWS_SERVICE_PORT",
                    fmt::format("/reviews/{}", id)),
        headers_for(call), 2, done);
  }

  void page(const Call& call, const Answer& answer) {
    auto view = std::make_shared<View>();
    view->user = user_of(call);
    auto ready = [view, answer] {
      if (--view->waiting == 0) answer(render(*view));
    };
    ask_details(call, "0", [view, ready](Result<Reply> reply) {
      view->details = std::move(reply);
      ready();
    });
    ask_reviews(call, "0", [view, ready](Result<Reply> reply) {
      view->reviews = std::move(reply);
      ready();
    });
  }

  static Reply render(const View& view) {
    auto parse = [](const Result<Reply>& reply) {
      if (!reply || reply->status != 200) return Json();
      return Json::parse(reply->body, nullptr, false);
    };
    Json details = parse(view.details);
    Json reviews = parse(view.reviews);
    PageView page{.user = view.user};
    if (details.is_object()) page.details = &details;
    if (reviews.is_object()) page.reviews = &reviews;
    return html(product_page(page));
  }

  void api(const Call& call, const Answer& answer) {
    std::vector<std::string_view> parts = split(call.path, '/');  // "", api, v1, products, ID, ...
    std::string_view id = parts.size() > 4 ? parts[4] : "";
    if (!parse_int<int>(id)) return answer(json(400, R"({"error":"product id is not a number"})"));
    auto pass_on = [answer](const char* what) {
      return [answer, what](Result<Reply> reply) {
        if (reply) return answer(json(reply->status, std::move(reply->body)));
        answer(json(500, Json{{"error", fmt::format("Sorry, product {} are currently unavailable "
                                                    "for this book.",
                                                    what)}}
                             .dump()));
      };
    };
    if (parts.size() == 5) return ask_details(call, id, pass_on("details"));
    if (parts[5] == "reviews") return ask_reviews(call, id, pass_on("reviews"));
    if (parts[5] == "ratings") {
      return ask("ratings",
                 service_url("ratings", "RATINGS_HOSTNAME", "RATINGS_SERVICE_PORT",
                             fmt::format("/ratings/{}", id)),
                 headers_for(call), 1, pass_on("ratings"));
    }
    answer(text(404, "Not Found"));
  }

  static Reply sign_in(const Call& call) {
    std::string user = form_value(call.body, "username");
    return redirect("/productpage",
                    fmt::format("session={}; Path=/; HttpOnly", base64url_encode(user)));
  }

  Reply metrics() const {
    std::string out =
        "# HELP request_result_total Results of requests to other services\n"
        "# TYPE request_result_total counter\n";
    for (const auto& [key, count] : results_) {
      out += fmt::format("request_result_total{{destination_app=\"{}\",response_code=\"{}\"}} {}\n",
                         key.first, key.second, count);
    }
    return text(200, std::move(out));
  }

  Service& service_;
  std::map<std::pair<std::string, int>, std::uint64_t> results_;
};

}  // namespace

Handler productpage(Service& service) {
  auto page = std::make_shared<ProductPage>(service);
  return [page](const Call& call, const Answer& answer) { page->handle(call, answer); };
}

}  // namespace mizzen::samples
