// The Bookinfo page's HTML: pure functions from what the services answered to text.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace mizzen::samples {

struct PageView {
  std::string user;        // empty when nobody is signed in
  int details_status = 0;  // 200, or why there are none
  int reviews_status = 0;
  const nlohmann::ordered_json* details = nullptr;
  const nlohmann::ordered_json* reviews = nullptr;
};

std::string escape_html(std::string_view text);
std::string index_page();
std::string product_page(const PageView& view);

}  // namespace mizzen::samples
