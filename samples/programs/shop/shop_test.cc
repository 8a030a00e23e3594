#include <gtest/gtest.h>

#include <cstdlib>

#include "base/strings.h"
#include "samples/shop/common.h"
#include "samples/shop/pages.h"
#include "samples/shop/pictures.h"
#include "samples/shop/services.h"
#include "samples/stores/documents.h"
#include "samples/stores/mysql_server.h"

namespace mizzen::samples::shop {
namespace {

// A handler's answer to one request.
Reply asked(io::Loop& loop, const Handler& handler, std::string method, std::string path,
            std::string body = "", HeaderList headers = {}) {
  Call call;
  call.method = std::move(method);
  std::size_t query = path.find('?');
  call.path = path.substr(0, query);
  if (query != path.npos) call.query = path.substr(query + 1);
  call.body = std::move(body);
  call.headers = std::move(headers);
  std::optional<Reply> reply;
  handler(call, [&reply](Reply answer) { reply = std::move(answer); });
  EXPECT_TRUE(loop.run_until([&reply] { return reply.has_value(); }, std::chrono::seconds(10)));
  return reply.value_or(Reply{0, {}, ""});
}

Json body_of(const Reply& reply) { return Json::parse(reply.body, nullptr, false); }

TEST(Pages, VersionsDifferInTheirButtons) {
  auto buttons = [](const char* version) {
    std::string body = page("/", version)->body;
    std::size_t at = body.find("data-buttons=\"");
    return body.substr(at + 14, body.find('"', at + 14) - at - 14);
  };
  EXPECT_EQ(buttons("v1"), "blue");
  EXPECT_EQ(buttons("v2"), "red");
  for (const char* path : {"/index.html", "/category.html", "/detail.html", "/basket.html",
                           "/customer-orders.html", "/shop.css", "/shop.js", "/images/cat_2.svg"}) {
    EXPECT_TRUE(page(path, "v1")) << path;
  }
  EXPECT_FALSE(page("/nothing", "v1"));
  EXPECT_FALSE(page("/images/nothing_1.svg", "v1"));
}

class OnDocuments : public testing::Test {
 protected:
  OnDocuments() {
    auto made = serve_documents(loop_, 0, documents_);
    EXPECT_TRUE(made);
    server_ = std::move(*made);
    std::string place = "127.0.0.1:" + std::to_string(server_->port());
    for (const char* name : {"CARTS_DB", "ORDERS_DB", "mongo"}) setenv(name, place.c_str(), 1);
  }
  io::EpollLoop loop_;
  Service service_{loop_};
  Documents documents_;
  std::unique_ptr<TcpServer> server_;
};

TEST_F(OnDocuments, CartsAddChangeMergeAndForget) {
  Handler handler = carts(service_);
  auto items = [&](const char* customer) {
    return body_of(asked(loop_, handler, "GET", std::string("/carts/") + customer + "/items"));
  };
  EXPECT_EQ(items("a").size(), 0U);
  const char* sock = R"({"itemId":"s","unitPrice":2.5})";
  EXPECT_EQ(asked(loop_, handler, "POST", "/carts/a/items", sock).status, 201);
  EXPECT_EQ(asked(loop_, handler, "POST", "/carts/a/items", sock).status, 201);
  EXPECT_EQ(items("a")[0]["quantity"], 2);
  const char* seven = R"({"itemId":"s","quantity":7,"unitPrice":2.5})";
  EXPECT_EQ(asked(loop_, handler, "PATCH", "/carts/a/items", seven).status, 202);
  EXPECT_EQ(asked(loop_, handler, "GET", "/carts/b/merge?sessionId=a").status, 202);
  EXPECT_EQ(items("a").size(), 0U);
  EXPECT_EQ(items("b")[0]["quantity"], 7);
  EXPECT_EQ(asked(loop_, handler, "DELETE", "/carts/b/items/s").status, 202);
  EXPECT_EQ(asked(loop_, handler, "DELETE", "/carts/b/items/s").status, 404);
  EXPECT_EQ(asked(loop_, handler, "POST", "/carts/b/items", "no").status, 400);
  EXPECT_EQ(asked(loop_, handler, "DELETE", "/carts/b").status, 202);
}

TEST_F(OnDocuments, UsersSignInAndEnrol) {
  seed_users(documents_);
  Handler handler = user(service_);
  auto sign_in = [&](const std::string& pair) {
    return asked(loop_, handler, "GET", "/login", "",
                 {{"authorization", "Basic " + base64_encode(pair)}});
  };
  EXPECT_EQ(sign_in("user:wrong").status, 401);
  EXPECT_EQ(asked(loop_, handler, "GET", "/login").status, 401);
  Json person = body_of(sign_in("user:password"))["user"];
  EXPECT_EQ(person["username"], "user");
  EXPECT_FALSE(person.contains("hash"));
  std::string path = "/customers/" + text_of(person, "id") + "/cards";
  EXPECT_EQ(body_of(asked(loop_, handler, "GET", path))["_embedded"]["card"].size(), 1U);
  const char* jo = R"({"username":"jo","password":"pw"})";
  EXPECT_EQ(asked(loop_, handler, "POST", "/register", jo).status, 200);
  EXPECT_EQ(asked(loop_, handler, "POST", "/register", jo).status, 500);
  EXPECT_EQ(sign_in("jo:pw").status, 200);
}

TEST(Catalogue, ListsFiltersAndDraws) {
  io::EpollLoop loop;
  auto database = MysqlServer::make(catalogue_sql(), {{"catalogue_user", "default_password"}});
  ASSERT_TRUE(database) << database.error().message;
  auto server = (*database)->serve(loop, 0);
  ASSERT_TRUE(server);
  setenv("CATALOGUE_DB", ("127.0.0.1:" + std::to_string((*server)->port())).c_str(), 1);
  Service service(loop);
  Handler handler = catalogue(service);
  auto get = [&](const char* path) { return asked(loop, handler, "GET", path); };
  Json all = body_of(get("/catalogue"));
  EXPECT_EQ(all.size(), 9U);
  EXPECT_EQ(body_of(get("/catalogue/size"))["size"], 9);
  EXPECT_EQ(body_of(get("/tags"))["tags"].size(), 11U);
  EXPECT_EQ(body_of(get("/catalogue?tags=geek"))[0]["name"], "Weave special");
  EXPECT_EQ(body_of(get("/catalogue?order=price&size=2"))[0]["name"], "Nerd leg");
  EXPECT_EQ(body_of(get("/catalogue?page=2&size=5")).size(), 4U);
  EXPECT_EQ(body_of(get("/catalogue?tags=x'%20OR%201=1")).size(), 0U);
  std::string id = all[0]["id"];
  EXPECT_EQ(body_of(get(("/catalogue/" + id).c_str()))["name"], all[0]["name"]);
  EXPECT_EQ(get("/catalogue/none").status, 404);
  for (const Json& sock : all) {
    for (const Json& url : sock["imageUrl"]) {
      EXPECT_EQ(get(url.get<std::string>().c_str()).status, 200) << url;
    }
  }
  EXPECT_EQ(body_of(get("/health"))["health"][1]["status"], "OK");
  EXPECT_NE(get("/metrics").body.find("request_duration_seconds_count"), std::string::npos);
}

TEST(Payment, TakesSmallAmounts) {
  io::EpollLoop loop;
  Handler handler = payment();
  auto pays = [&](const char* body) { return asked(loop, handler, "POST", "/paymentAuth", body); };
  EXPECT_EQ(body_of(pays(R"({"amount":105})"))["authorised"], true);
  EXPECT_EQ(body_of(pays(R"({"amount":105.01})"))["authorised"], false);
  EXPECT_EQ(pays(R"({"amount":0})").status, 400);
  EXPECT_EQ(pays("no").status, 400);
}

}  // namespace
}  // namespace mizzen::samples::shop
