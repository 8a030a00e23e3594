#include <fmt/format.h>
#include <openssl/evp.h>

#include "base/strings.h"
#include "samples/shop/common.h"
#include "samples/shop/services.h"
#include "samples/stores/documents.h"

namespace mizzen::samples::shop {
namespace {

// PBKDF2 with few rounds: a sample, whose health checks should not cost a CPU.
std::string hashed(std::string_view password, const std::string& salt) {
  std::array<unsigned char, 32> out{};
  PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()),
                    reinterpret_cast<const unsigned char*>(salt.data()),
                    static_cast<int>(salt.size()), 1000, EVP_sha256(), out.size(), out.data());
  return hex(std::as_bytes(std::span(out)));
}

Json new_customer(const std::string& id, const Json& from) {
  std::string salt = new_id();
  return {{"id", id},
          {"firstName", text_of(from, "firstName")},
          {"lastName", text_of(from, "lastName")},
          {"email", text_of(from, "email")},
          {"username", text_of(from, "username")},
          {"salt", salt},
          {"hash", hashed(text_of(from, "password"), salt)}};
}

// What may be seen of a document: no secrets, and links as the demo's clients follow them.
Json shown(const std::string& collection, Json document) {
  for (const char* secret : {"salt", "hash", "ccv"}) document.erase(secret);
  std::string self = fmt::format("http://user/{}/{}", collection, text_of(document, "id"));
  document["_links"] = {{"self", {{"href", self}}}};
  if (collection != "customers") return document;
  document["_links"]["customer"] = {{"href", self}};
  document["_links"]["addresses"] = {{"href", self + "/addresses"}};
  document["_links"]["cards"] = {{"href", self + "/cards"}};
  return document;
}

class Users {
 public:
  Users(Service& service, const std::pair<std::string, std::uint16_t>& store)
      : store_(service.loop(), store.first, store.second) {}

  void handle(const Call& call, const Answer& answer) {
    auto parts = segments(call.path);
    if (parts.empty()) return answer(not_found(call));
    if (parts[0] == "login" && call.method == "GET") return sign_in(call, answer);
    if (parts[0] == "register" && call.method == "POST") return enrol(call, answer);
    std::string collection(parts[0]);
    if (collection != "customers" && collection != "addresses" && collection != "cards") {
      return answer(not_found(call));
    }
    if (call.method == "POST" && parts.size() == 1) return add(call, collection, answer);
    if (call.method == "DELETE" && parts.size() == 2) {
      return store_.remove(collection, {{"id", parts[1]}}, [answer](const Status& status) {
        answer(status ? json_reply(200, {{"status", true}}) : failure(500, status.error().message));
      });
    }
    if (call.method != "GET") return answer(not_found(call));
    if (parts.size() == 1) return list(collection, Json::object(), answer);
    if (parts.size() == 2) return one(collection, parts[1], answer);
    bool known = parts[2] == "addresses" || parts[2] == "cards";
    if (parts.size() == 3 && collection == "customers" && known) {
      return list(std::string(parts[2]), {{"userID", parts[1]}}, answer);
    }
    answer(not_found(call));
  }
  void check(const DocumentClient::Stored& done) {
    store_.find("customers", {{"id", ""}}, [done](const auto& found) {
      done(found ? Status() : std::unexpected(found.error()));
    });
  }

 private:
  void sign_in(const Call& call, const Answer& answer) {
    std::string_view header = call.header("authorization");
    auto pair = header.starts_with("Basic ") ? base64_decode(header.substr(6)) : std::nullopt;
    std::size_t colon = pair ? pair->find(':') : std::string::npos;
    if (colon == std::string::npos) return answer(failure(401, "Unauthorized"));
    std::string name = pair->substr(0, colon);
    store_.find("customers", {{"username", name}},
                [answer, password = pair->substr(colon + 1)](const auto& found) {
                  if (!found) return answer(failure(500, found.error().message));
                  if (found->empty() || text_of(found->front(), "hash") !=
                                            hashed(password, text_of(found->front(), "salt"))) {
                    return answer(failure(401, "Unauthorized"));
                  }
                  answer(json_reply(200, {{"user", shown("customers", found->front())}}));
                });
  }

  void enrol(const Call& call, const Answer& answer) {
    auto wanted = object_of(call);
    if (!wanted) return answer(failure(400, wanted.error().message));
    std::string name = text_of(*wanted, "username");
    if (name.empty() || text_of(*wanted, "password").empty()) {
      return answer(failure(400, "username and password are needed"));
    }
    store_.find("customers", {{"username", name}},
                [this, answer, name, wanted = *wanted](const auto& found) {
                  if (!found) return answer(failure(500, found.error().message));
                  if (!found->empty()) return answer(failure(500, "the name is taken: " + name));
                  std::string id = new_id();
                  store_.put("customers", new_customer(id, wanted), told(answer, id));
                });
  }

  void add(const Call& call, const std::string& collection, const Answer& answer) {
    if (collection == "customers") return enrol(call, answer);
    auto wanted = object_of(call);
    if (!wanted) return answer(failure(400, wanted.error().message));
    std::string id = new_id();
    (*wanted)["id"] = id;
    store_.put(collection, std::move(*wanted), told(answer, id));
  }
  static DocumentClient::Stored told(const Answer& answer, const std::string& id) {
    return [answer, id](const Status& status) {
      answer(status ? json_reply(200, {{"id", id}}) : failure(500, status.error().message));
    };
  }

  void one(const std::string& collection, std::string_view id, const Answer& answer) {
    store_.find(collection, {{"id", id}}, [answer, collection](const auto& found) {
      if (!found) return answer(failure(500, found.error().message));
      if (found->empty()) return answer(failure(404, "there is none of this id"));
      answer(json_reply(200, shown(collection, found->front())));
    });
  }
  void list(const std::string& collection, Json where, const Answer& answer) {
    store_.find(collection, std::move(where), [answer, collection](const auto& found) {
      if (!found) return answer(failure(500, found.error().message));
      Json all = Json::array();
      for (const Json& document : *found) all.push_back(shown(collection, document));
      std::string key = collection == "addresses" ? "address"
                        : collection == "cards"   ? "card"
                                                  : "customer";
      answer(json_reply(200, {{"_embedded", {{key, std::move(all)}}}}));
    });
  }

  DocumentClient store_;
};

}  // namespace

Handler user(Service& service) {
  auto self = std::make_shared<Users>(service, place_of("mongo", "user-db:27017"));
  return with_usual_pages(
      {"user", "user-db", [self](const std::function<void(Status)>& done) { self->check(done); }},
      [self](const Call& call, const Answer& answer) { self->handle(call, answer); });
}

void seed_users(Documents& documents) {
  struct Row {
    const char* id;
    const char* name;
    const char* password;
    const char* first;
    const char* last;
  };
  constexpr Row kRows[] = {
      {"57a98d98e4b00679b4a830af", "Eve_Berger", "eve", "Eve", "Berger"},
      {"57a98d98e4b00679b4a830b2", "user", "password", "User", "Name"},
      {"57a98d98e4b00679b4a830b5", "user1", "password", "User1", "Name1"},
  };
  auto put = [&documents](const char* collection, Json document) {
    documents.answer({{"op", "put"}, {"in", collection}, {"doc", std::move(document)}});
  };
  for (const Row& row : kRows) {
    put("customers", new_customer(row.id, {{"firstName", row.first},
                                           {"lastName", row.last},
                                           {"email", std::string(row.name) + "@example.com"},
                                           {"username", row.name},
                                           {"password", row.password}}));
    put("addresses", {{"id", std::string(row.id) + "a"},
                      {"userID", row.id},
                      {"number", "12"},
                      {"street", "Harbour Lane"},
                      {"city", "Stavanger"},
                      {"postcode", "4005"},
                      {"country", "Norway"}});
    put("cards", {{"id", std::string(row.id) + "c"},
                  {"userID", row.id},
                  {"longNum", "5544154011345918"},
                  {"expires", "08/29"},
                  {"ccv", "958"}});
  }
}

}  // namespace mizzen::samples::shop
