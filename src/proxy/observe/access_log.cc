#include "proxy/observe/access_log.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "io/unique_fd.h"

namespace mizzen::proxy {
namespace {

constexpr std::size_t kBatch = 64 * 1024;
constexpr std::size_t kMostHeld = 1024 * 1024;  // when the reader of a pipe does not read
constexpr Duration kFlushEvery = std::chrono::seconds(1);

void append_json_string(Text& to, std::string_view text) {
  to += '"';
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') {
      to += '\\';
      to += static_cast<char>(c);
    } else if (c < 0x20) {
      static constexpr char kHex[] = "0123456789abcdef";
      to += "\\u00";
      to += kHex[c >> 4];
      to += kHex[c & 15];
    } else {
      to += static_cast<char>(c);
    }
  }
  to += '"';
}

bool is_pipe(int fd) {
  struct stat about {};
  return fstat(fd, &about) == 0 && S_ISFIFO(about.st_mode);
}

bool passes(const AccessLog& log, const RequestInfo& request) {
  if (log.minimum_status && request.status < *log.minimum_status) return false;
  if (log.only_flags.empty()) return true;
  std::string text = flags_text(request.flags);
  auto parts = split(text, ',');
  return std::ranges::any_of(log.only_flags, [&](const std::string& wanted) {
    return std::ranges::find(parts, std::string_view(wanted)) != parts.end();
  });
}

}  // namespace

struct AccessLogFiles::Compiled {
  struct Part {
    std::string before;
    std::optional<Format> value;
  };
  Format text;
  std::vector<Part> json;
  static std::unique_ptr<const Compiled> of(const AccessLog& log);
};

std::unique_ptr<const AccessLogFiles::Compiled> AccessLogFiles::Compiled::of(const AccessLog& log) {
  const auto compile = [](std::string_view text) {
    auto format = Format::compile(text);
    if (format) return std::move(*format);
    log::error("access_log", "{}", format.error().message);  // cannot be: configuration was checked
    return Format();
  };
  auto made = std::make_unique<Compiled>();
  if (log.json.empty()) made->text = compile(log.format);
  for (const auto& [before, value] : log.json) {
    made->json.push_back({before, std::nullopt});
    if (!value.empty()) made->json.back().value = compile(value);
  }
  return made;
}

// So much of `text` as whole lines of at most `most` bytes; one line, if that is longer.
std::string_view whole_lines(std::string_view text, std::size_t most) {
  if (text.size() <= most) return text;
  const std::size_t last = text.rfind('\n', most - 1);
  return text.substr(0, (last == text.npos ? text.find('\n') : last) + 1);
}

struct AccessLogFiles::File {
  io::UniqueFd owned;
  int fd = -1;
  bool is_pipe = false;
  Text lines;
  void flush() {
    // Others write to the same pipe, where only PIPE_BUF bytes stay together (pipe(7)).
    const std::size_t most = is_pipe ? PIPE_BUF : lines.size();
    std::size_t done = 0;
    while (done < lines.size()) {
      const std::string_view some = whole_lines(lines.view().substr(done), most);
      const ssize_t n = ::write(fd, some.data(), some.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      done += static_cast<std::size_t>(n);
    }
    lines.drop(done);
    if (lines.size() > kMostHeld) lines.clear();
  }
};

AccessLogFiles::AccessLogFiles(io::Loop& loop)
    : timer_(io::Timer::of<&AccessLogFiles::flush>(loop, this)) {}

AccessLogFiles::~AccessLogFiles() { flush(); }

void AccessLogFiles::flush() {
  for (auto& [path, file] : files_) {
    file->flush();
    if (file->lines.empty()) {
      file->lines.release();  // there is little to tell
    } else {
      timer_.arm(kFlushEvery);  // the reader of a pipe is slow
    }
  }
}

const AccessLogFiles::Files::value_type& AccessLogFiles::file(const std::string& path) {
  const auto [place, is_new] = files_.try_emplace(path);
  if (!is_new) return *place;
  auto made = std::make_unique<File>();
  const int standard = path == "/dev/stdout"   ? STDOUT_FILENO
                       : path == "/dev/stderr" ? STDERR_FILENO
                                               : -1;
  made->fd = standard;
  // A pipe is opened anew: when nobody reads it a worker must not stop, and the descriptor we were
  // given is shared with others, who may want it to block.
  if (standard < 0 || is_pipe(standard)) {
    made->owned = io::UniqueFd(::open(
        path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644));
    if (made->owned.get() >= 0) made->fd = made->owned.get();
  }
  made->is_pipe = made->fd >= 0 && is_pipe(made->fd);  // also a path that is one
  if (made->fd < 0) log::warning("access_log", "cannot open {}", path);
  place->second = std::move(made);
  return *place;
}

const AccessLogFiles::Formats::value_type& AccessLogFiles::format(const AccessLog& log) {
  const auto place = formats_.try_emplace(log.format).first;
  if (place->second == nullptr) place->second = Compiled::of(log);
  return *place;
}

AccessLogFiles::Way AccessLogFiles::way(const AccessLog& log) {
  const bool same =
      last_.file != nullptr && last_.format->first == log.format && last_.file->first == log.path;
  if (!same) last_ = {&format(log), &file(log.path)};
  return last_;
}

void AccessLogFiles::append_json(Text& to, const Compiled& format, const RequestInfo& request) {
  for (const auto& [before, value] : format.json) {
    to += before;
    if (!value) continue;
    value_.clear();
    const bool whole = value->append(value_, request);
    if (!whole && value->is_lone()) {
      to += "null";
    } else if (value->is_number()) {
      to += value_.view();
    } else {
      append_json_string(to, value_.view());
    }
  }
}

void AccessLogFiles::log(const std::vector<AccessLog>& logs, const RequestInfo& request) {
  for (const AccessLog& log : logs) {
    if (!passes(log, request)) continue;
    const Way way = this->way(log);
    const Compiled& format = *way.format->second;
    File& to = *way.file->second;
    if (to.fd < 0) continue;
    if (!format.json.empty()) {
      append_json(to.lines, format, request);
    } else {
      format.text.append(to.lines, request);
    }
    if (to.lines.empty() || to.lines.view().back() != '\n') to.lines += '\n';
    if (to.lines.size() >= kBatch) {
      to.flush();
    } else if (!timer_.armed()) {
      timer_.arm(kFlushEvery);
    }
  }
}

}  // namespace mizzen::proxy
