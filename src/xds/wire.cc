#include "xds/wire.h"

#include "envoy/service/discovery/v3/discovery.pb.h"

namespace mizzen::xds {
namespace {

using Request = envoy::service::discovery::v3::DeltaDiscoveryRequest;

constexpr unsigned kLengthDelimited = 2;
constexpr std::size_t kMost = 16U << 20;  // of a field that is read

std::size_t varint_size(std::size_t value) {
  std::size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

}  // namespace

std::size_t field_size(std::size_t content) { return 1 + varint_size(content) + content; }

void put_field_head(int number, std::size_t content, std::string* to) {
  to->push_back(static_cast<char>(static_cast<unsigned>(number) << 3 | kLengthDelimited));
  for (; content >= 0x80; content >>= 7) to->push_back(static_cast<char>(content | 0x80));
  to->push_back(static_cast<char>(content));
}

void put_field(int number, std::string_view content, std::string* to) {
  put_field_head(number, content.size(), to);
  to->append(content);
}

std::string write_answer(const PlainAnswer& answer) {
  std::string out;
  out.reserve(field_size(answer.type_url.size()) + field_size(answer.nonce.size()));
  put_field(Request::kTypeUrlFieldNumber, answer.type_url, &out);
  put_field(Request::kResponseNonceFieldNumber, answer.nonce, &out);
  return out;
}

std::optional<PlainAnswer> read_answer(std::string_view message) {
  PlainAnswer out;
  while (!message.empty()) {
    const auto tag = static_cast<unsigned char>(message[0]);
    message.remove_prefix(1);
    std::size_t size = 0;
    for (int shift = 0;; shift += 7) {
      if (message.empty() || shift > 21) return std::nullopt;
      const auto byte = static_cast<unsigned char>(message[0]);
      message.remove_prefix(1);
      size |= static_cast<std::size_t>(byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    if (size > kMost || size > message.size()) return std::nullopt;
    const std::string_view content = message.substr(0, size);
    message.remove_prefix(size);
    if (tag == (Request::kTypeUrlFieldNumber << 3 | kLengthDelimited)) {
      out.type_url = content;
    } else if (tag == (Request::kResponseNonceFieldNumber << 3 | kLengthDelimited)) {
      out.nonce = content;
    } else {
      return std::nullopt;
    }
  }
  if (out.type_url.empty() || out.nonce.empty()) return std::nullopt;
  return out;
}

}  // namespace mizzen::xds
