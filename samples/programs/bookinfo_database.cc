#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "samples/bookinfo.h"
#include "samples/stores/documents.h"
#include "samples/stores/mysql_client.h"

namespace mizzen::samples {
namespace {

constexpr int kStars[] = {5, 4};

using Stars = std::function<void(Result<std::vector<int>>)>;

// "mongodb://mongodb:27017/test" -> "mongodb", 27017
std::pair<std::string, std::uint16_t> mongo_place(std::string_view url) {
  if (std::size_t scheme = url.find("://"); scheme != url.npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find('/'));
  std::size_t colon = url.find(':');
  std::uint16_t port = 27017;
  if (colon != url.npos) port = parse_int<std::uint16_t>(url.substr(colon + 1)).value_or(port);
  return {std::string(url.substr(0, colon)), port};
}

std::function<void(Stars)> stars_in_mysql(Service& service) {
  auto port = parse_int<std::uint16_t>(env_or("MYSQL_DB_PORT", "3306")).value_or(3306);
  auto database =
      std::make_shared<MysqlClient>(service.loop(), env_or("MYSQL_DB_HOST", "mysqldb"), port,
                                    MysqlAccount{env_or("MYSQL_DB_USER", "root"),
                                                 env_or("MYSQL_DB_PASSWORD", "password"), "test"});
  return [database](const Stars& done) {
    database->query("SELECT Rating FROM ratings", [done](const Result<MysqlClient::Rows>& rows) {
      if (!rows) return done(std::unexpected(rows.error()));
      std::vector<int> stars;
      for (const auto& row : *rows) {
        stars.push_back(row.empty() ? 0 : parse_int<int>(row[0]).value_or(0));
      }
      done(std::move(stars));
    });
  };
}

std::function<void(Stars)> stars_in_documents(Service& service) {
  auto [host, port] = mongo_place(env_or("MONGO_DB_URL", "mongodb://mongodb:27017/test"));
  auto database = std::make_shared<DocumentClient>(service.loop(), host, port);
  return [database](const Stars& done) {
    database->find("ratings", Json::object(), [done](const Result<std::vector<Json>>& found) {
      if (!found) return done(std::unexpected(found.error()));
      std::vector<int> stars;
      for (const Json& one : *found) stars.push_back(one.value("rating", 0));
      done(std::move(stars));
    });
  };
}

}  // namespace

Handler ratings_of_database(Service& service) {
  bool mysql = env_or("DB_TYPE", "mongodb") == "mysql";
  auto ask = mysql ? stars_in_mysql(service) : stars_in_documents(service);
  return [ask](const Call& call, const Answer& answer) {
    if (call.path == "/health") return answer(json(200, R"({"status":"Ratings is healthy"})"));
    constexpr std::string_view kPrefix = "/ratings/";
    auto id = call.path.starts_with(kPrefix)
                  ? parse_int<int>(std::string_view(call.path).substr(kPrefix.size()))
                  : std::nullopt;
    if (!id) return answer(json(400, R"({"error":"please provide numeric product ID"})"));
    ask([answer, id = *id](const Result<std::vector<int>>& stars) {
      if (!stars) {
        return answer(json(500, Json{{"error", "could not connect to ratings database"},
                                     {"why", stars.error().message}}
                                    .dump()));
      }
      Json ratings = Json::object();
      for (std::size_t i = 0; i < stars->size() && i < 10; ++i) {
        ratings[fmt::format("Reviewer{}", i + 1)] = (*stars)[i];
      }
      answer(json(200, Json{{"id", id}, {"ratings", std::move(ratings)}}.dump()));
    });
  };
}

std::string ratings_sql() {
  std::string out = "CREATE TABLE ratings (ReviewID INTEGER PRIMARY KEY, Rating INTEGER);";
  int review = 0;
  for (int stars : kStars) {
    out += fmt::format("INSERT INTO ratings VALUES ({}, {});", ++review, stars);
  }
  return out;
}

void seed_ratings(Documents& documents) {
  int review = 0;
  for (int stars : kStars) {
    Json document = {{"id", ++review}, {"rating", stars}};
    documents.answer({{"op", "put"}, {"in", "ratings"}, {"doc", std::move(document)}});
  }
}

}  // namespace mizzen::samples
