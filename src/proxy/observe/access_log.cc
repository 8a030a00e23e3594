#include "proxy/observe/access_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "io/unique_fd.h"

namespace mizzen::proxy {
namespace {

constexpr std::size_t kBatch = 16 * 1024;
constexpr std::size_t kMostHeld = 1024 * 1024;  // when the reader of a pipe does not read
constexpr Duration kFlushEvery = std::chrono::seconds(1);

void append_json_string(std::string& to, std::string_view text) {
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
  Format text;
  struct Member {
    std::string key;
    Format format;
    bool number = false;  // a lone command whose value is a number, as Envoy types it
  };
  std::vector<Member> json;
};

struct AccessLogFiles::File {
  io::UniqueFd owned;
  int fd = -1;
  std::string buffer;
  void flush() {
    std::size_t done = 0;
    while (done < buffer.size()) {
      ssize_t n = ::write(fd, buffer.data() + done, buffer.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      done += static_cast<std::size_t>(n);
    }
    buffer.erase(0, done);
    if (buffer.size() > kMostHeld) buffer.clear();
  }
};

AccessLogFiles::AccessLogFiles(io::Loop& loop)
    : timer_(io::Timer::of<&AccessLogFiles::flush>(loop, this)) {}

AccessLogFiles::~AccessLogFiles() { flush(); }

void AccessLogFiles::flush() {
  for (auto& [path, file] : files_) file->flush();
}

AccessLogFiles::File& AccessLogFiles::file(const std::string& path) {
  auto& place = files_[path];
  if (place) return *place;
  place = std::make_unique<File>();
  int standard = path == "/dev/stdout" ? STDOUT_FILENO : path == "/dev/stderr" ? STDERR_FILENO : -1;
  place->fd = standard;
  // A pipe is opened anew: when nobody reads it a worker must not stop, and the descriptor we were
  // given is shared with others, who may want it to block.
  if (standard < 0 || is_pipe(standard)) {
    place->owned = io::UniqueFd(::open(
        path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644));
    if (place->owned.get() >= 0) place->fd = place->owned.get();
  }
  if (place->fd < 0) log::warning("access_log", "cannot open {}", path);
  return *place;
}

const AccessLogFiles::Compiled& AccessLogFiles::compiled(const AccessLog& log) {
  if (!log.is_json) {
    if (last_ != nullptr && last_->first == log.format) return *last_->second;
    const auto place = compiled_.try_emplace(log.format).first;
    last_ = &*place;
    return compile_into(place->second, log);
  }
  std::string key = "json";
  for (const auto& [name, value] : log.json) {
    key.append(1, '\n').append(name).append(1, '=').append(value);
  }
  return compile_into(compiled_[key], log);
}

const AccessLogFiles::Compiled& AccessLogFiles::compile_into(std::shared_ptr<const Compiled>& place,
                                                             const AccessLog& log) {
  if (place) return *place;
  auto made = std::make_shared<Compiled>();
  auto compile = [](std::string_view text) {
    auto format = Format::compile(text);
    if (format) return std::move(*format);
    log::error("access_log", "{}", format.error().message);
    return Format();
  };
  if (log.is_json) {
    for (const auto& [key, text] : log.json) {
      static constexpr std::string_view kNumbers[] = {"%BYTES_RECEIVED%",
                                                      "%BYTES_SENT%",
                                                      "%DURATION%",
                                                      "%RESPONSE_CODE%",
                                                      "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
                                                      "%RESPONSE_DURATION%",
                                                      "%CONNECTION_ID%"};
      made->json.push_back(
          {key, compile(text), std::ranges::find(kNumbers, text) != std::end(kNumbers)});
    }
  } else {
    made->text = compile(log.format);
  }
  place = std::move(made);
  return *place;
}

void AccessLogFiles::log(const std::vector<AccessLog>& logs, const RequestInfo& request) {
  for (const AccessLog& log : logs) {
    if (!passes(log, request)) continue;
    const Compiled& format = compiled(log);
    File& to = file(log.path);
    if (to.fd < 0) continue;
    if (!log.is_json) {
      format.text.append(to.buffer, request);
    } else {
      to.buffer += '{';
      for (const auto& member : format.json) {
        if (to.buffer.back() != '{') to.buffer += ',';
        append_json_string(to.buffer, member.key);
        to.buffer += ':';
        line_.clear();
        member.format.append(line_, request);
        if (line_ == "-") {
          to.buffer += "null";
        } else if (member.number) {
          to.buffer += line_;
        } else {
          append_json_string(to.buffer, line_);
        }
      }
      to.buffer += '}';
    }
    if (to.buffer.empty() || to.buffer.back() != '\n') to.buffer += '\n';
    if (to.buffer.size() >= kBatch) {
      to.flush();
    } else if (!timer_.armed()) {
      timer_.arm(kFlushEvery);
    }
  }
}

}  // namespace mizzen::proxy
