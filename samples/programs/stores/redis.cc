#include "samples/stores/redis.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace mizzen::samples {
namespace {

constexpr std::int64_t kLongest = 16 * 1024 * 1024;

enum class Progress : std::uint8_t { kDone, kNeedMore, kBroken };

// Reads one value from `text` at `*at`.
class RespReader {
 public:
  explicit RespReader(std::string_view text) : text_(text) {}

  Progress value(Json* out, int depth = 0) {
    std::string_view line;
    if (!next_line(&line)) return Progress::kNeedMore;
    if (line.empty() || depth > 8) return Progress::kBroken;
    char kind = line.front();
    line.remove_prefix(1);
    if (kind == '+') *out = std::string(line);
    if (kind == '-') error = line.empty() ? "error" : std::string(line);
    if (kind == '+' || kind == '-') return Progress::kDone;
    auto number = parse_int<std::int64_t>(line);
    if (!number) return Progress::kBroken;
    if (kind == ':') *out = *number;
    if (kind == ':') return Progress::kDone;
    if (*number > kLongest || *number < -1) return Progress::kBroken;
    if (*number == -1) *out = nullptr;
    if (*number == -1) return Progress::kDone;
    if (kind == '$') return bulk(static_cast<std::size_t>(*number), out);
    if (kind == '*') return array(*number, out, depth);
    return Progress::kBroken;
  }
  std::size_t at() const { return at_; }
  std::string error;  // "" when the store reported none

 private:
  bool next_line(std::string_view* line) {
    std::size_t end = text_.find("\r\n", at_);
    if (end == text_.npos) return false;
    *line = text_.substr(at_, end - at_);
    at_ = end + 2;
    return true;
  }
  Progress bulk(std::size_t length, Json* out) {
    if (text_.size() < at_ + length + 2) return Progress::kNeedMore;
    *out = std::string(text_.substr(at_, length));
    at_ += length + 2;
    return Progress::kDone;
  }
  Progress array(std::int64_t count, Json* out, int depth) {
    *out = Json::array();
    for (std::int64_t i = 0; i < count; ++i) {
      Json one;
      if (Progress progress = value(&one, depth + 1); progress != Progress::kDone) return progress;
      out->push_back(std::move(one));
    }
    return Progress::kDone;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::string resp_command(const std::vector<std::string>& words) {
  std::string out = fmt::format("*{}\r\n", words.size());
  for (const std::string& word : words) out += fmt::format("${}\r\n{}\r\n", word.size(), word);
  return out;
}

std::optional<InOrderClient::Taken> take_resp(std::string& bytes) {
  RespReader reader(bytes);
  Json value;
  Progress progress = reader.value(&value);
  if (progress == Progress::kNeedMore) return std::nullopt;
  if (progress == Progress::kBroken) {
    return InOrderClient::Taken{fail(Code::kProtocol, "what came is not RESP"), true};
  }
  bytes.erase(0, reader.at());
  if (!reader.error.empty()) return InOrderClient::Taken{fail(Code::kInvalid, reader.error)};
  return InOrderClient::Taken{std::move(value)};
}

RedisClient::RedisClient(io::Loop& loop, std::string host, std::uint16_t port)
    : client_(loop, std::move(host), port, take_resp) {}

void RedisClient::command(const std::vector<std::string>& words, InOrderClient::Done done) {
  client_.ask(resp_command(words), std::move(done));
}

}  // namespace mizzen::samples
