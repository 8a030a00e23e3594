#include "http/codec.h"

namespace mizzen::http {

void StreamEvents::on_informational(ResponseHead&& /*head*/) {}
void StreamEvents::on_response(ResponseHead&& /*head*/, bool /*end*/) {}

StreamEvents* ConnectionEvents::on_request(StreamId /*id*/, RequestHead&& /*head*/, bool /*end*/) {
  return nullptr;
}

Guess guess_protocol(std::string_view first_bytes) {
  if (first_bytes.starts_with(kHttp2Preface)) return Guess::kHttp2;
  if (kHttp2Preface.starts_with(first_bytes)) return Guess::kNeedMore;
  // A request line: a method, a space, a target, and HTTP/1.x where the line ends.
  const std::size_t space = first_bytes.find_first_of(" \r\n");
  const std::string_view method = first_bytes.substr(0, space);
  constexpr std::size_t kLongestMethod = 32;
  if (method.size() > kLongestMethod || !is_token(method)) return Guess::kOther;
  if (space == std::string_view::npos) return Guess::kNeedMore;
  if (first_bytes[space] != ' ') return Guess::kOther;
  const std::size_t line = first_bytes.find('\n');
  if (line == std::string_view::npos) {
    return first_bytes.size() > 8192 ? Guess::kOther : Guess::kNeedMore;
  }
  std::string_view text = first_bytes.substr(0, line);
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text.ends_with(" HTTP/1.1") || text.ends_with(" HTTP/1.0") ? Guess::kHttp1 : Guess::kOther;
}

}  // namespace mizzen::http
