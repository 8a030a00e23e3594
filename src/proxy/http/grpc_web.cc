#include "proxy/http/grpc_web.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace mizzen::proxy {
namespace {

constexpr std::string_view kBinary = "application/grpc-web";
constexpr std::string_view kText = "application/grpc-web-text";
constexpr char kTrailersFrame = '\x80';

}  // namespace

std::unique_ptr<GrpcWeb> GrpcWeb::accept(http::RequestHead& head) {
  std::string_view type = head.headers.get_or("content-type", "");
  if (!type.starts_with(kBinary)) return nullptr;
  const bool text = type.starts_with(kText);
  type.remove_prefix(text ? kText.size() : kBinary.size());
  const std::string_view suffix = type.substr(0, type.find(';'));
  if (!suffix.empty() && suffix.front() != '+') return nullptr;
  std::unique_ptr<GrpcWeb> made(new GrpcWeb(text, suffix));
  head.headers.set("content-type", fmt::format("application/grpc{}", made->suffix_));
  head.headers.set("te", "trailers");
  if (!head.headers.has("grpc-accept-encoding")) {
    head.headers.add_borrowed("grpc-accept-encoding", "identity,deflate,gzip");
  }
  if (text) {
    head.headers.remove("content-length");
    head.content_length.reset();
  }
  return made;
}

// Base64 comes in segments that may each end with padding.
std::optional<std::string> GrpcWeb::request_data(std::string_view bytes) {
  if (!text_) return std::string(bytes);
  rest_ += bytes;
  std::string out;
  std::size_t at = 0;
  while (rest_.size() - at >= 4) {
    const std::size_t padding = rest_.find('=', at);
    std::size_t end = rest_.size() - (rest_.size() - at) % 4;
    if (padding != std::string::npos) end = std::min(end, at + (padding - at) / 4 * 4 + 4);
    auto decoded = base64_decode(std::string_view(rest_).substr(at, end - at));
    if (!decoded) return std::nullopt;
    out += *decoded;
    at = end;
  }
  rest_.erase(0, at);
  return out;
}

bool GrpcWeb::response_head(http::ResponseHead& head) const {
  if (!head.headers.get_or("content-type", "").starts_with("application/grpc")) return false;
  head.headers.set("content-type", fmt::format("{}{}", text_ ? kText : kBinary, suffix_));
  head.headers.remove("content-length");
  head.content_length.reset();
  return true;
}

std::string GrpcWeb::response_data(std::string_view bytes) const {
  return text_ ? base64_encode(bytes) : std::string(bytes);
}

std::string GrpcWeb::response_trailers(const http::Headers& trailers) const {
  std::string fields;
  for (const http::HeaderField& field : trailers) {
    fields += fmt::format("{}:{}\r\n", field.name, field.value);
  }
  std::string frame(1, kTrailersFrame);
  for (int shift : {24, 16, 8, 0}) frame += static_cast<char>(fields.size() >> shift);
  return response_data(frame + fields);
}

}  // namespace mizzen::proxy
