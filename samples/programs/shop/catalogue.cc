#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "samples/shop/common.h"
#include "samples/shop/pictures.h"
#include "samples/shop/services.h"
#include "samples/stores/mysql_client.h"

namespace mizzen::samples::shop {
namespace {

using Rows = MysqlClient::Rows;

// Columns in the order of kSelect.
constexpr std::string_view kSelect =
    "SELECT sock.sock_id, sock.name, sock.description, sock.price, sock.count, sock.image_url_1, "
    "sock.image_url_2, GROUP_CONCAT(tag.name) FROM sock JOIN sock_tag ON "
    "sock.sock_id = sock_tag.sock_id JOIN tag ON sock_tag.tag_id = tag.tag_id";

Json product(const std::vector<std::string>& row) {
  Json tags = Json::array();
  for (std::string_view tag : split(row[7], ',')) tags.push_back(tag);
  return {{"id", row[0]},
          {"name", row[1]},
          {"description", row[2]},
          {"imageUrl", {row[5], row[6]}},
          {"price", std::strtod(row[3].c_str(), nullptr)},
          {"count", parse_int<int>(row[4]).value_or(0)},
          {"tag", std::move(tags)}};
}

// Those that have one of the tags; all when none is asked for.
std::string having_tags(const std::string& tags) {
  std::string list;
  for (std::string_view tag : split(tags, ',')) {
    if (!trim(tag).empty()) list += (list.empty() ? "" : ", ") + sql_quoted(trim(tag));
  }
  if (list.empty()) return "";
  return fmt::format(
      " WHERE sock.sock_id IN (SELECT sock_id FROM sock_tag JOIN tag ON sock_tag.tag_id = "
      "tag.tag_id WHERE tag.name IN ({}))",
      list);
}

class Catalogue {
 public:
  Catalogue(Service& service, const std::pair<std::string, std::uint16_t>& store)
      : database_(service.loop(), store.first, store.second,
                  {env_or("MYSQL_USER", "catalogue_user"),
                   env_or("MYSQL_PASSWORD", "default_password"), "socksdb"}) {}

  void handle(const Call& call, const Answer& answer) {
    auto parts = segments(call.path);
    if (call.method != "GET" || parts.empty()) return answer(not_found(call));
    if (parts[0] == "tags" && parts.size() == 1) return tags(answer);
    if (parts[0] != "catalogue" || parts.size() > 3) return answer(not_found(call));
    if (parts.size() == 1) return list(call, answer);
    if (parts.size() == 3 && parts[1] == "images") return image(call, parts[2], answer);
    if (parts.size() == 2 && parts[1] == "size") return size(call, answer);
    if (parts.size() == 2) return one(call, parts[1], answer);
    answer(not_found(call));
  }
  void check(const std::function<void(Status)>& done) {
    database_.query("SELECT 1", [done](const Result<Rows>& rows) {
      done(rows ? Status() : std::unexpected(rows.error()));
    });
  }

 private:
  using Took = std::function<void(const Rows&)>;
  void query(std::string sql, const Answer& answer, Took took) {
    database_.query(std::move(sql), [answer, took = std::move(took)](const Result<Rows>& rows) {
      if (!rows) return answer(failure(500, "Do: " + rows.error().message));
      took(*rows);
    });
  }

  void list(const Call& call, const Answer& answer) {
    std::string sql = std::string(kSelect) + having_tags(call.query_value("tags")) +
                      " GROUP BY sock.sock_id, sock.name, sock.description, sock.price, "
                      "sock.count, sock.image_url_1, sock.image_url_2 ORDER BY ";
    std::string order = call.query_value("order");
    bool known = order == "price" || order == "name" || order == "count";
    sql += known ? "sock." + order : "sock.sock_id";
    std::size_t page = parse_int<std::size_t>(call.query_value("page")).value_or(1);
    std::size_t most = parse_int<std::size_t>(call.query_value("size")).value_or(10);
    query(std::move(sql), answer, [answer, page, most](const Rows& rows) {
      Json products = Json::array();
      std::size_t from = page > 0 && most < 10'000 ? std::min(rows.size(), (page - 1) * most) : 0;
      for (std::size_t i = from; i < rows.size() && products.size() < most; ++i) {
        if (rows[i].size() == 8) products.push_back(product(rows[i]));
      }
      answer(json_reply(200, products));
    });
  }

  void size(const Call& call, const Answer& answer) {
    query("SELECT COUNT(*) FROM sock" + having_tags(call.query_value("tags")), answer,
          [answer](const Rows& rows) {
            int count = rows.empty() ? 0 : parse_int<int>(rows[0][0]).value_or(0);
            answer(json_reply(200, {{"size", count}, {"err", nullptr}}));
          });
  }

  void one(const Call&, std::string_view id, const Answer& answer) {
    query(fmt::format("{} WHERE sock.sock_id = {} GROUP BY sock.sock_id, sock.name, "
                      "sock.description, sock.price, sock.count, sock.image_url_1, "
                      "sock.image_url_2",
                      kSelect, sql_quoted(id)),
          answer, [answer](const Rows& rows) {
            if (rows.empty() || rows[0].size() != 8) return answer(failure(404, "not found"));
            answer(json_reply(200, product(rows[0])));
          });
  }

  void tags(const Answer& answer) {
    query("SELECT name FROM tag", answer, [answer](const Rows& rows) {
      Json tags = Json::array();
      for (const auto& row : rows) tags.push_back(row[0]);
      answer(json_reply(200, {{"tags", std::move(tags)}, {"err", nullptr}}));
    });
  }

  void image(const Call& call, std::string_view name, const Answer& answer) {
    std::optional<std::string> svg = picture(name);
    if (!svg) return answer(not_found(call));
    answer({200,
            {{"content-type", "image/svg+xml"}, {"cache-control", "max-age=3600"}},
            std::move(*svg)});
  }

  MysqlClient database_;
};

}  // namespace

Handler catalogue(Service& service) {
  auto self = std::make_shared<Catalogue>(service, place_of("CATALOGUE_DB", "catalogue-db:3306"));
  return with_usual_pages(
      {"catalogue", "catalogue-db",
       [self](const std::function<void(Status)>& done) { self->check(done); }},
      [self](const Call& call, const Answer& answer) { self->handle(call, answer); });
}

}  // namespace mizzen::samples::shop
