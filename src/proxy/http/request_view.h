// A request's head as the route matcher asks about it.
#pragma once

#include "http/message.h"
#include "route/match.h"

namespace mizzen::proxy {

class HeadView final : public route::RequestView {
 public:
  explicit HeadView(const http::RequestHead& head) : head_(head) {}
  std::string_view method() const override { return head_.method; }
  std::string_view scheme() const override { return head_.scheme; }
  std::string_view authority() const override { return head_.authority; }
  std::string_view path() const override { return head_.path; }
  std::optional<std::string_view> header(std::string_view name,
                                         std::string& scratch) const override;

 private:
  const http::RequestHead& head_;
};

}  // namespace mizzen::proxy
