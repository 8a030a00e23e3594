#include "proxy/observe/access_log.h"
#include "proxy/observe/commands.h"

namespace mizzen::proxy {

// Literal text, then a command's value. The text has a fixed place so that it is copied by a move
// or two: most stand between two commands. What is longer goes on in the next piece.
struct Format::Piece {
  Text::Block before;
  WriteCommand write = nullptr;  // null: nothing follows the text
  Arguments arguments;
  std::size_t limit = 0;  // bytes of the value; 0: all
};

Format::Format() = default;
Format::~Format() = default;
Format::Format(Format&&) noexcept = default;
Format& Format::operator=(Format&&) noexcept = default;

namespace {

bool writes_number(const FormatPiece& piece) {
  const bool by_style =
      piece.command->takes == FormatCommand::Takes::kStyle && piece.arguments == "NUMBER";
  return piece.command->is_number || by_style;
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
  MIZZEN_TRY(const auto parsed, parse_format(text));
  Format format;
  for (const FormatPiece& piece : parsed) {
    const Text::Block before = format.append_literal(piece.before);
    if (piece.command == nullptr) {
      format.pieces_.push_back({.before = before});
      continue;
    }
    format.pieces_.push_back(
        {before, find_writer(piece.command->name), Arguments::of(piece), piece.limit});
  }
  format.is_lone_ = parsed.size() == 1 && parsed[0].command != nullptr && parsed[0].before.empty();
  format.is_number_ = format.is_lone_ && writes_number(parsed[0]);
  return format;
}

bool Format::append(Text& to, const RequestInfo& request, bool empty_for_missing) const {
  bool whole = true;
  for (const Piece& piece : pieces_) {
    to += piece.before;
    if (piece.write == nullptr) continue;
    const std::size_t before = to.size();
    if (!piece.write(to, piece.arguments, request)) {
      whole = false;
      if (!empty_for_missing) to += '-';
    }
    if (piece.limit != 0 && to.size() - before > piece.limit) to.resize(before + piece.limit);
  }
  return whole;
}

void Format::append(std::string& to, const RequestInfo& request, bool empty_for_missing) const {
  Text text;
  append(text, request, empty_for_missing);
  to += text.view();
}

}  // namespace mizzen::proxy
