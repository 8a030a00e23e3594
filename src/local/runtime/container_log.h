// The log of one container: lines with time and stream, as container runtimes keep them
// (`2026-11-21T06:23:40.123456789Z stdout F text`), capped and rotated.
#pragma once

#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "local/apiserver/pod_access.h"

namespace mizzen::local {

// "2026-11-21T06:23:40.123456789Z".
std::string rfc3339_nanos(WallTime time);

// One file of log, and the one before it (`.1`) once it has grown beyond the limit.
class ContainerLog {
 public:
  explicit ContainerLog(std::string path, std::size_t max_bytes = 8 << 20);
  ~ContainerLog();
  ContainerLog(const ContainerLog&) = delete;

  // Bytes as they came from the container; cut into lines here. A line without end is kept back
  // until it is 16 KiB long, or close().
  void append(std::string_view stream, std::string_view bytes, WallTime now);
  // No more will come.
  void close(WallTime now);
  bool closed() const { return closed_; }

  // Told after each append and at close, until unfollow().
  std::uint64_t follow(std::function<void()> changed);
  void unfollow(std::uint64_t id) { followers_.erase(id); }

  const std::string& path() const { return path_; }
  // How many times the file was begun anew: a reader's offset counts for one round only.
  std::uint64_t round() const { return round_; }

 private:
  void write_line(std::string_view stream, std::string_view text, bool whole, WallTime now);
  void rotate();

  std::string path_;
  std::size_t max_bytes_;
  std::size_t size_ = 0;
  std::uint64_t round_ = 0;
  std::FILE* file_ = nullptr;
  std::map<std::string, std::string, std::less<>> partial_;
  std::map<std::uint64_t, std::function<void()>> followers_;
  std::uint64_t last_follower_ = 0;
  bool closed_ = false;
};

// What `kubectl logs` shows of a kept line: nothing when it is older than asked for, or malformed.
struct LogLine {
  std::string_view time;
  std::string_view stream;
  bool whole = true;
  std::string_view text;
};
bool parse_log_line(std::string_view line, LogLine* out);

// Everything that `options` asks for of the file at `path` and its predecessor, formatted for the
// client; `end_offset` is where a follower goes on.
std::string read_log(const std::string& path, const LogOptions& options, std::size_t* end_offset);
// Formats kept lines from `offset` on; moves it behind the last whole line.
std::string read_log_from(const std::string& path, const LogOptions& options, std::size_t* offset);

}  // namespace mizzen::local
