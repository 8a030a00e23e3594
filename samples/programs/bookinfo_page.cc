#include "samples/bookinfo_page.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace mizzen::samples {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kStyle = R"(
:root { --ink: #1d2433; --soft: #667085; --line: #e4e7ec; --sea: #0b5d7a; --paper: #f7f8fa; }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.55 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); }
header { background: var(--sea); color: #fff; }
header > div, main { max-width: 62rem; margin: 0 auto; padding: 0.9rem 1.5rem; }
header > div { display: flex; align-items: center; gap: 1rem; }
header a { color: #fff; text-decoration: none; }
header strong { flex: 1; font-size: 1.05rem; letter-spacing: 0.02em; }
header input { border: 0; border-radius: 6px; padding: 0.35rem 0.6rem; width: 8rem; font: inherit; }
button { border: 0; border-radius: 6px; padding: 0.4rem 0.9rem; font: inherit; cursor: pointer;
  background: #fff; color: var(--sea); font-weight: 600; }
h1 { font-size: 1.9rem; margin: 1.4rem 0 0.3rem; }
h2 { font-size: 1.1rem; margin: 0 0 0.8rem; }
.lede { color: var(--soft); max-width: 44rem; }
.columns { display: grid; grid-template-columns: 1fr 1.6fr; gap: 1.2rem; margin-top: 1.4rem; }
@media (max-width: 46rem) { .columns { grid-template-columns: 1fr; } }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px;
  padding: 1.2rem 1.4rem; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0.25rem 1rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; }
blockquote { margin: 0 0 1.1rem; padding: 0 0 1.1rem; border-bottom: 1px solid var(--line); }
blockquote:last-of-type { border: 0; margin: 0; padding: 0; }
blockquote p { margin: 0 0 0.4rem; } cite { color: var(--soft); font-style: normal; }
.stars { letter-spacing: 0.15em; } .stars.black { color: #111; } .stars.red { color: #d92d20; }
.stars .empty { opacity: 0.25; }
.trouble { color: #b42318; } .served { color: var(--soft); font-size: 0.85rem; margin: 1rem 0 0; }
)";

std::string frame(std::string_view sign_in, std::string_view body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>Simple Bookstore App</title>\n<style>{}</style>\n</head>\n<body>\n"
      "<header><div><strong><a href=\"/productpage\">BookInfo "
      "Sample</a></strong>{}</div></header>\n"
      "<main>\n{}</main>\n</body>\n</html>\n",
      kStyle, sign_in, body);
}

std::string sign_in_form(const std::string& user) {
  if (!user.empty()) {
    return fmt::format(
        "<span id=\"user\">{}</span><a href=\"/logout\"><button>Sign out</button></a>",
        escape_html(user));
  }
  return "<form method=\"post\" action=\"/login\">"
         "<input name=\"username\" placeholder=\"User name\" aria-label=\"User name\" required> "
         "<input name=\"passwd\" type=\"password\" placeholder=\"Password\" "
         "aria-label=\"Password\"> "
         "<button type=\"submit\">Sign in</button></form>";
}

std::string shown(const Json& value) {
  return escape_html(value.is_string() ? value.get<std::string>() : value.dump());
}

std::string details_section(const PageView& view) {
  if (view.details == nullptr) {
    return "<section><h2>Error fetching product details!</h2><p class=\"trouble\">Sorry, product "
           "details are currently unavailable for this book.</p></section>\n";
  }
  constexpr std::pair<const char*, const char*> kRows[] = {
      {"type", "Type"},         {"pages", "Pages"},     {"publisher", "Publisher"},
      {"language", "Language"}, {"ISBN-10", "ISBN-10"}, {"ISBN-13", "ISBN-13"},
  };
  std::string rows;
  for (auto [key, label] : kRows) {
    if (view.details->contains(key)) {
      rows += fmt::format("<dt>{}</dt><dd>{}</dd>\n", label, shown((*view.details)[key]));
    }
  }
  return fmt::format("<section id=\"details\"><h2>Book Details</h2><dl>\n{}</dl></section>\n",
                     rows);
}

std::string stars(const Json& rating) {
  if (!rating.contains("stars") || !rating["stars"].is_number_integer()) {
    std::string why = rating.value("error", "Ratings service is currently unavailable");
    return fmt::format("<p class=\"trouble\">{}</p>", escape_html(why));
  }
  int count = std::clamp(rating["stars"].get<int>(), 0, 5);
  std::string full;
  std::string empty;
  for (int i = 0; i < 5; ++i) (i < count ? full : empty) += "★";
  return fmt::format(
      "<div class=\"stars {}\" title=\"{} of 5\">{}<span class=\"empty\">{}</span></div>",
      escape_html(rating.value("color", "black")), count, full, empty);
}

std::string reviews_section(const PageView& view) {
  if (view.reviews == nullptr || !view.reviews->contains("reviews")) {
    return "<section><h2>Error fetching product reviews!</h2><p class=\"trouble\">Sorry, product "
           "reviews are currently unavailable for this book.</p></section>\n";
  }
  std::string quotes;
  for (const Json& review : (*view.reviews)["reviews"]) {
    quotes += fmt::format("<blockquote><p>{}</p>{}<cite>{}</cite></blockquote>\n",
                          escape_html(review.value("text", "")),
                          review.contains("rating") ? stars(review["rating"]) : "",
                          escape_html(review.value("reviewer", "")));
  }
  return fmt::format(
      "<section id=\"reviews\"><h2>Book Reviews</h2>\n{}<p class=\"served\">Reviews served by: "
      "<code>{}</code></p></section>\n",
      quotes, escape_html(view.reviews->value("podname", "unknown")));
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

std::string index_page() {
  return frame("",
               "<h1>Hello! This is a simple bookstore application</h1>\n"
               "<p class=\"lede\">Four services behind one page. Open it as a "
               "<a href=\"/productpage?u=normal\">normal user</a> or a "
               "<a href=\"/productpage?u=test\">test user</a>.</p>\n");
}

std::string product_page(const PageView& view) {
  return frame(sign_in_form(view.user),
               "<h1>The Comedy of Errors</h1>\n"
               "<p class=\"lede\">Two masters and two servants, each the image of his twin, cross "
               "paths in Ephesus for one day without knowing it; nobody is who they are taken for, "
               "until everybody is.</p>\n<div class=\"columns\">\n" +
                   details_section(view) + reviews_section(view) + "</div>\n");
}

}  // namespace mizzen::samples
