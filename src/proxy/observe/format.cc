#include <fmt/format.h>

#include <utility>

#include "base/strings.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/commands.h"

namespace mizzen::proxy {

// Literal text, then a command's value. The text has a fixed place so that it is copied by a move
// or two: most stand between two commands. What is longer goes on in the next piece.
struct Format::Piece {
  Text::Block before;
  Command::Write write = nullptr;  // null: nothing follows the text
  Arguments arguments;
  std::size_t limit = 0;  // bytes of the value; 0: all
};

Format::Format() = default;
Format::~Format() = default;
Format::Format(Format&&) noexcept = default;
Format& Format::operator=(Format&&) noexcept = default;

namespace {

struct Parsed {
  const Command* command = nullptr;
  Arguments arguments;
  std::size_t limit = 0;
  std::size_t end = 0;  // behind the closing '%'
};

Arguments parse_arguments(const Command& command, std::string_view inside) {
  if (takes_time(command)) return {.header = {}, .instead = {}, .time = std::string(inside)};
  Arguments arguments;
  const auto question = inside.find('?');
  arguments.header = HeaderPick::of(inside.substr(0, question));
  if (question != std::string_view::npos) {
    arguments.instead = HeaderPick::of(inside.substr(question + 1));
  }
  return arguments;
}

// %NAME%, %NAME(inside)% or %NAME(inside):limit%, from the '%' at `at` on.
Result<Parsed> parse_command(std::string_view text, std::size_t at) {
  const auto bad = [](std::string why) {
    return fail(Code::kInvalid, "access log format: " + std::move(why));
  };
  std::size_t cursor = text.find_first_of("(:%", at + 1);
  if (cursor == std::string_view::npos) return bad(fmt::format("'%' without an end at {}", at));
  const std::string_view name = text.substr(at + 1, cursor - at - 1);
  Parsed parsed{.command = find_command(name)};
  if (parsed.command == nullptr) return bad(fmt::format("unknown command %{}%", name));
  if (text[cursor] == '(') {
    const auto close = text.find(')', cursor);
    if (close == std::string_view::npos) return bad(fmt::format("%{}( is not closed", name));
    parsed.arguments =
        parse_arguments(*parsed.command, text.substr(cursor + 1, close - cursor - 1));
    cursor = close + 1;
  }
  if (cursor < text.size() && text[cursor] == ':') {
    const auto close = text.find('%', cursor);
    const auto limit = close == std::string_view::npos
                           ? std::nullopt
                           : parse_int<std::size_t>(text.substr(cursor + 1, close - cursor - 1));
    if (!limit) return bad(fmt::format("bad length in %{}", name));
    parsed.limit = *limit;
    cursor = close;
  }
  if (cursor >= text.size() || text[cursor] != '%') {
    return bad(fmt::format("%{} has no closing '%'", name));
  }
  parsed.end = cursor + 1;
  return parsed;
}

}  // namespace

// Appends pieces of text alone for all of `literal` but its last block, which it returns.
Text::Block Format::append_literal(std::string_view literal) {
  for (; literal.size() > Text::Block::kMost; literal.remove_prefix(Text::Block::kMost)) {
    pieces_.push_back({.before = Text::Block(literal.substr(0, Text::Block::kMost))});
  }
  return Text::Block(literal);
}

Result<Format> Format::compile(std::string_view text) {
  Format format;
  std::string literal;
  std::size_t at = 0;
  while (at < text.size()) {
    if (text[at] != '%') {
      literal += text[at++];
      continue;
    }
    if (at + 1 < text.size() && text[at + 1] == '%') {
      literal += '%';
      at += 2;
      continue;
    }
    MIZZEN_TRY(Parsed parsed, parse_command(text, at));
    const Text::Block before = format.append_literal(std::exchange(literal, {}));
    format.pieces_.push_back(
        {before, parsed.command->write, std::move(parsed.arguments), parsed.limit});
    at = parsed.end;
  }
  if (!literal.empty()) format.pieces_.push_back({.before = format.append_literal(literal)});
  return format;
}

void Format::append(Text& to, const RequestInfo& request, bool empty_for_missing) const {
  for (const Piece& piece : pieces_) {
    to += piece.before;
    if (piece.write == nullptr) continue;
    const std::size_t before = to.size();
    const bool found = piece.write(to, piece.arguments, request);
    if (!found && !empty_for_missing) to += '-';
    if (piece.limit != 0 && to.size() - before > piece.limit) to.resize(before + piece.limit);
  }
}

void Format::append(std::string& to, const RequestInfo& request, bool empty_for_missing) const {
  Text text;
  append(text, request, empty_for_missing);
  to += text.view();
}

}  // namespace mizzen::proxy
