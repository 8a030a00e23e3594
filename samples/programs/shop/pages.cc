#include "samples/shop/pages.h"

#include <fmt/format.h>

#include "samples/shop/page_assets.h"
#include "samples/shop/pictures.h"

namespace mizzen::samples::shop {
namespace {

struct Theme {
  std::string_view version;
  std::string_view colour;
  std::string_view accent;
  std::string_view dark;
};
constexpr Theme kBlue = {"v1", "blue", "#2f6fb2", "#1f4f85"};
constexpr Theme kRed = {"v2", "red", "#c8323c", "#97222b"};

constexpr std::string_view kHome = R"(
<section class="hero">
  <div class="words">
    <h1>Socks that arrive<br>before your feet get cold</h1>
    <p>Small batches, good wool, honest patterns. Each pair is carried by a dozen small services,
       and you will not notice one of them.</p>
    <a class="button" href="/category.html">See all socks</a>
  </div>
  <div class="pictures"><img src="/images/holy_1.svg" alt=""><img src="/images/weave_1.svg" alt="">
    <img src="/images/cat_1.svg" alt=""></div>
</section>
<section><h2>Warm today</h2><div class="grid" data-products="4"></div></section>
<section class="promises">
  <div><b>Any foot</b><span>Sizes 35 to 48, and a pair is always two.</span></div>
  <div><b>One price for post</b><span>4.99 for a parcel, however many socks.</span></div>
  <div><b>Back for a year</b><span>Holes that we did not knit are ours to mend.</span></div>
</section>)";

constexpr std::string_view kCategory = R"(
<section><h2>All socks</h2><div class="split">
  <aside><b>Kinds</b><div id="tags" class="tags"></div></aside>
  <div class="grid" data-products="all"></div>
</div></section>)";

constexpr std::string_view kDetail = R"(<section id="detail" class="detail"></section>)";

constexpr std::string_view kBasket = R"(
<section><h2>Your basket</h2><div class="split wide">
  <div id="basket"></div>
  <aside class="card"><b>Order</b><dl id="sum"></dl>
    <button class="button" id="order">Place the order</button>
    <p id="order-note" class="note"></p></aside>
</div></section>)";

constexpr std::string_view kOrders = R"(
<section><h2>Your orders</h2><div id="orders"></div></section>)";

constexpr std::string_view kFrame = R"(<!doctype html>
<html lang="en" data-version="{version}" data-buttons="{colour}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sock Shop</title>
<link rel="icon" href="/images/holy_2.svg"><link rel="stylesheet" href="/shop.css">
<style>:root{{--accent:{accent};--accent-dark:{dark}}}</style></head>
<body>
<header><div class="bar">
  <a class="logo" href="/">sock<span>shop</span></a>
  <nav><a href="/">Home</a><a href="/category.html">Catalogue</a>
    <a href="/customer-orders.html">Orders</a></nav>
  <div class="who"><span id="hello"></span><button class="quiet" id="sign-in">Sign in</button>
    <button class="quiet" id="sign-out" hidden>Sign out</button>
    <a class="button small" href="/basket.html"><span id="count">0</span> in basket</a></div>
</div></header>
<main>{content}</main>
<footer>Sock Shop, a sample of Mizzen. Version {version}, {colour} buttons.</footer>
<dialog id="login"><form method="dialog" id="login-form"><h3>Welcome back</h3>
  <label>Name<input id="username" autocomplete="username" required></label>
  <label>Password<input id="password" type="password" autocomplete="current-password"
    required></label>
  <p id="login-note" class="note">Try user and password.</p>
  <div class="row"><button class="button" type="submit">Sign in</button>
  <button class="quiet" type="button" id="login-close">Not now</button></div></form></dialog>
<script src="/shop.js"></script>
</body></html>
)";

Reply typed(std::string_view type, std::string body) {
  return {200, {{"content-type", std::string(type)}}, std::move(body)};
}

}  // namespace

std::optional<Reply> page(std::string_view path, std::string_view version) {
  const Theme& theme = version == "v2" ? kRed : kBlue;
  std::string_view content;
  if (path == "/" || path == "/index.html") content = kHome;
  if (path == "/category.html") content = kCategory;
  if (path == "/detail.html") content = kDetail;
  if (path == "/basket.html") content = kBasket;
  if (path == "/customer-orders.html") content = kOrders;
  if (!content.empty()) {
    return html(fmt::format(kFrame, fmt::arg("version", theme.version),
                            fmt::arg("colour", theme.colour), fmt::arg("accent", theme.accent),
                            fmt::arg("dark", theme.dark), fmt::arg("content", content)));
  }
  if (path == "/shop.css") return typed("text/css; charset=utf-8", std::string(page_style()));
  if (path == "/shop.js") {
    return typed("text/javascript; charset=utf-8", std::string(page_script()));
  }
  if (path.starts_with("/images/")) {
    auto svg = picture(path.substr(8));
    if (svg) return typed("image/svg+xml", std::move(*svg));
  }
  return std::nullopt;
}

}  // namespace mizzen::samples::shop
