// Access logs: Envoy's format strings compiled once, lines written in batches.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/loop.h"
#include "proxy/config/filters.h"
#include "proxy/facts.h"
#include "proxy/observe/text.h"

namespace mizzen::proxy {

// A format string with %COMMANDS%, compiled. Also serves header values of routes.
class Format {
 public:
  Format();
  ~Format();
  Format(Format&&) noexcept;
  Format& operator=(Format&&) noexcept;
  // Errors: those of parse_format().
  static Result<Format> compile(std::string_view text);
  // Appends; a command without a value gives "-", or "" when `empty_for_missing`, and false.
  bool append(Text& to, const RequestInfo& request, bool empty_for_missing = false) const;
  void append(std::string& to, const RequestInfo& request, bool empty_for_missing = false) const;
  bool is_lone() const { return is_lone_; }      // one command and nothing else
  bool is_number() const { return is_number_; }  // one whose value JSON writes without quotes

 private:
  struct Piece;
  Text::Block append_literal(std::string_view literal);
  std::vector<Piece> pieces_;
  bool is_lone_ = false;
  bool is_number_ = false;
};

// The files of one worker. Lines are gathered and written when 64 KiB have come together or a
// second has passed, each write() with whole lines only (to a pipe, those that it keeps together).
class AccessLogFiles {
 public:
  explicit AccessLogFiles(io::Loop& loop);
  ~AccessLogFiles();  // writes what is left
  // Writes one line to every log of `logs` whose filter lets it pass.
  void log(const std::vector<AccessLog>& logs, const RequestInfo& request);
  void flush();

 private:
  struct File;
  struct Compiled;
  using Files = std::unordered_map<std::string, std::unique_ptr<File>>;
  using Formats = std::unordered_map<std::string, std::unique_ptr<const Compiled>>;
  // How a log's lines look and where they go.
  struct Way {
    const Formats::value_type* format = nullptr;
    const Files::value_type* file = nullptr;
  };
  Way way(const AccessLog& log);
  const Files::value_type& file(const std::string& path);
  const Formats::value_type& format(const AccessLog& log);
  void append_json(Text& to, const Compiled& format, const RequestInfo& request);
  Files files_;      // by path
  Formats formats_;  // by AccessLog::format
  Way last_;         // most lines go the way of the line before
  Text value_;       // of a member of JSON
  io::Timer timer_;
};

}  // namespace mizzen::proxy
