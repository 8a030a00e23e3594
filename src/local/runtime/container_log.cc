#include "local/runtime/container_log.h"

#include <fmt/core.h>

#include <ctime>
#include <deque>
#include <fstream>
#include <vector>

#include "base/strings.h"

namespace mizzen::local {
namespace {

constexpr std::size_t kMaxLine = 16384;
constexpr std::size_t kMaxRead = 32 << 20;

std::string read_file(const std::string& path, std::size_t offset) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return {};
  in.seekg(static_cast<std::streamoff>(offset));
  std::string out(std::istreambuf_iterator<char>(in), {});
  if (out.size() > kMaxRead) out.resize(kMaxRead);
  return out;
}

// Lines of `text` that end; `used` is how many bytes they take.
std::vector<std::string_view> whole_lines(std::string_view text, std::size_t* used) {
  std::vector<std::string_view> lines;
  std::size_t at = 0;
  for (;;) {
    std::size_t end = text.find('\n', at);
    if (end == std::string_view::npos) break;
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  *used = at;
  return lines;
}

std::string format(const std::vector<std::string_view>& lines, const LogOptions& options) {
  std::string since = options.since ? rfc3339_nanos(*options.since) : "";
  std::deque<std::string> out;
  bool continues = false;
  for (std::string_view raw : lines) {
    LogLine line;
    if (!parse_log_line(raw, &line) || line.time < since) continue;
    if (!continues) {
      out.emplace_back(options.timestamps ? std::string(line.time) + " " : "");
      if (options.tail_lines &&
          out.size() > static_cast<std::size_t>(std::max<std::int64_t>(0, *options.tail_lines))) {
        out.pop_front();
      }
    }
    if (out.empty()) continue;
    out.back() += line.text;
    if (line.whole) out.back() += '\n';
    continues = !line.whole;
  }
  std::string text;
  for (const std::string& one : out) text += one;
  if (options.limit_bytes && text.size() > static_cast<std::size_t>(*options.limit_bytes)) {
    text.resize(static_cast<std::size_t>(*options.limit_bytes));
  }
  return text;
}

}  // namespace

std::string rfc3339_nanos(WallTime time) {
  auto nanos = time.time_since_epoch().count();
  std::time_t seconds = nanos / 1'000'000'000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  return fmt::format("{}.{:09}Z", text, nanos % 1'000'000'000);
}

ContainerLog::ContainerLog(std::string path, std::size_t max_bytes)
    : path_(std::move(path)), max_bytes_(max_bytes), file_(std::fopen(path_.c_str(), "we")) {}

ContainerLog::~ContainerLog() {
  if (file_ != nullptr) std::fclose(file_);
}

void ContainerLog::append(std::string_view stream, std::string_view bytes, WallTime now) {
  std::string& partial = partial_[std::string(stream)];
  while (!bytes.empty()) {
    std::size_t end = bytes.find('\n');
    if (end == std::string_view::npos) {
      partial += bytes;
      if (partial.size() >= kMaxLine) write_line(stream, std::exchange(partial, {}), false, now);
      break;
    }
    if (partial.empty()) {
      write_line(stream, bytes.substr(0, end), true, now);
    } else {
      partial += bytes.substr(0, end);
      write_line(stream, std::exchange(partial, {}), true, now);
    }
    bytes.remove_prefix(end + 1);
  }
  if (file_ != nullptr) std::fflush(file_);
  auto followers = followers_;
  for (auto& [id, changed] : followers) changed();
}

void ContainerLog::close(WallTime now) {
  if (closed_) return;
  closed_ = true;
  for (auto& [stream, text] : partial_) {
    if (!text.empty()) write_line(stream, text, true, now);
  }
  partial_.clear();
  if (file_ != nullptr) std::fclose(file_);
  file_ = nullptr;
  auto followers = followers_;
  for (auto& [id, changed] : followers) changed();
}

std::uint64_t ContainerLog::follow(std::function<void()> changed) {
  followers_.emplace(++last_follower_, std::move(changed));
  return last_follower_;
}

void ContainerLog::write_line(std::string_view stream, std::string_view text, bool whole,
                              WallTime now) {
  if (file_ == nullptr) return;
  std::string line =
      fmt::format("{} {} {} {}\n", rfc3339_nanos(now), stream, whole ? 'F' : 'P', text);
  std::fwrite(line.data(), 1, line.size(), file_);
  size_ += line.size();
  if (size_ > max_bytes_) rotate();
}

void ContainerLog::rotate() {
  std::fclose(file_);
  std::rename(path_.c_str(), (path_ + ".1").c_str());
  file_ = std::fopen(path_.c_str(), "we");
  size_ = 0;
  ++round_;
}

bool parse_log_line(std::string_view line, LogLine* out) {
  std::size_t first = line.find(' ');
  if (first == std::string_view::npos) return false;
  std::size_t second = line.find(' ', first + 1);
  if (second == std::string_view::npos || second + 3 > line.size()) return false;
  out->time = line.substr(0, first);
  out->stream = line.substr(first + 1, second - first - 1);
  out->whole = line[second + 1] == 'F';
  out->text = line.substr(second + 3);
  return true;
}

std::string read_log(const std::string& path, const LogOptions& options, std::size_t* end_offset) {
  std::string text = read_file(path + ".1", 0);
  std::size_t before = text.size();
  text += read_file(path, 0);
  std::size_t used = 0;
  auto lines = whole_lines(text, &used);
  *end_offset = used >= before ? used - before : 0;
  return format(lines, options);
}

std::string read_log_from(const std::string& path, const LogOptions& options, std::size_t* offset) {
  std::string text = read_file(path, *offset);
  std::size_t used = 0;
  auto lines = whole_lines(text, &used);
  *offset += used;
  LogOptions plain;
  plain.timestamps = options.timestamps;
  return format(lines, plain);
}

}  // namespace mizzen::local
