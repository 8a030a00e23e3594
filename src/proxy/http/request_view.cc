#include "proxy/http/request_view.h"

namespace mizzen::proxy {

std::optional<std::string_view> HeadView::header(std::string_view name,
                                                 std::string& scratch) const {
  const http::HeaderField* first = nullptr;
  bool several = false;
  for (const http::HeaderField& field : head_.headers) {
    if (field.name != name) continue;
    if (first == nullptr) {
      first = &field;
      continue;
    }
    if (!several) scratch = first->value;
    several = true;
    scratch += ',';
    scratch += field.value;
  }
  if (first == nullptr) {
    if (name == "host") return head_.authority;
    return std::nullopt;
  }
  return several ? std::string_view(scratch) : first->value;
}

}  // namespace mizzen::proxy
