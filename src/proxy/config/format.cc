#include "proxy/config/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/strings.h"

namespace mizzen::proxy {
namespace {

using Takes = FormatCommand::Takes;

constexpr FormatCommand kCommands[] = {
    {"REQ", Takes::kHeader},
    {"RESP", Takes::kHeader},
    {"TRAILER", Takes::kHeader},
    {"START_TIME", Takes::kTime},
    {"GRPC_STATUS", Takes::kStyle},
    {"GRPC_STATUS_NUMBER", Takes::kNothing, true},
    {"RESPONSE_CODE_DETAILS", Takes::kSpaces},
    {"RESPONSE_CODE", Takes::kNothing, true},
    {"BYTES_RECEIVED", Takes::kNothing, true},
    {"BYTES_SENT", Takes::kNothing, true},
    {"DURATION", Takes::kNothing, true},
    {"REQUEST_DURATION", Takes::kNothing, true},
    {"RESPONSE_DURATION", Takes::kNothing, true},
    {"UPSTREAM_REQUEST_ATTEMPT_COUNT", Takes::kNothing, true},
    {"DOWNSTREAM_LOCAL_PORT", Takes::kNothing, true},
    {"DOWNSTREAM_REMOTE_PORT", Takes::kNothing, true},
    {"CONNECTION_ID", Takes::kNothing, true},
    {"RESPONSE_FLAGS"},
    {"RESPONSE_FLAGS_LONG"},
    {"PROTOCOL"},
    {"CONNECTION_TERMINATION_DETAILS"},
    {"UPSTREAM_TRANSPORT_FAILURE_REASON"},
    {"ROUTE_NAME"},
    {"HOSTNAME"},
    {"UPSTREAM_CLUSTER"},
    {"UPSTREAM_CLUSTER_RAW"},
    {"UPSTREAM_HOST"},
    {"UPSTREAM_REMOTE_ADDRESS"},
    {"UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT"},
    {"UPSTREAM_LOCAL_ADDRESS"},
    {"UPSTREAM_PROTOCOL"},
    {"DOWNSTREAM_LOCAL_ADDRESS"},
    {"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT"},
    {"DOWNSTREAM_REMOTE_ADDRESS"},
    {"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT"},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS"},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT"},
    {"REQUESTED_SERVER_NAME"},
    {"FILTER_CHAIN_NAME"},
    {"DOWNSTREAM_PEER_URI_SAN"},
    {"DOWNSTREAM_LOCAL_URI_SAN"},
    {"DOWNSTREAM_PEER_SUBJECT"},
    {"DOWNSTREAM_LOCAL_SUBJECT"},
    {"DOWNSTREAM_PEER_ISSUER"},
    {"DOWNSTREAM_PEER_SERIAL"},
    {"DOWNSTREAM_PEER_FINGERPRINT_256"},
    {"DOWNSTREAM_TLS_VERSION"},
    {"DOWNSTREAM_TLS_CIPHER"},
    {"ENVIRONMENT", Takes::kName},
    {"DYNAMIC_METADATA", Takes::kName},
    {"FILTER_STATE", Takes::kName},
    {"CLUSTER_METADATA", Takes::kName},
    {"UPSTREAM_METADATA", Takes::kName},
};

std::unexpected<Error> bad(std::string why) {
  return fail(Code::kInvalid, "format: " + std::move(why));
}

bool needs_arguments(Takes takes) { return takes == Takes::kHeader || takes == Takes::kName; }

Status check_arguments(const FormatCommand& command, std::string_view inside) {
  const auto one_of = [&](std::string_view allowed) -> Status {
    for (const std::string_view word : split(allowed, ' ')) {
      if (word == inside) return {};
    }
    return bad(fmt::format("%{}({})%: what may stand there: {}", command.name, inside, allowed));
  };
  switch (command.takes) {
    case Takes::kNothing:
      return bad(fmt::format("%{}% takes no arguments", command.name));
    case Takes::kHeader:
      if (std::ranges::count(inside, '?') <= 1) return {};
      return bad(fmt::format("%{}({})%: more than one alternative", command.name, inside));
    case Takes::kStyle:
      return one_of("CAMEL_STRING SNAKE_STRING NUMBER");
    case Takes::kSpaces:
      return one_of("ALLOW_WHITESPACES");
    case Takes::kName:
    case Takes::kTime:
      break;
  }
  return {};
}

// Reads at one place of a text, from a '%' on.
class Reader {
 public:
  Reader(std::string_view text, std::size_t at) : text_(text), at_(at) {}
  std::size_t at() const { return at_; }

  Status command(FormatPiece& to) {
    const std::size_t end = text_.find_first_of("(:%", at_ + 1);
    if (end == std::string_view::npos) return bad(fmt::format("'%' without an end at {}", at_));
    const std::string_view name = text_.substr(at_ + 1, end - at_ - 1);
    const auto found = std::ranges::find(kCommands, name, &FormatCommand::name);
    if (found == std::end(kCommands)) return bad(fmt::format("unknown command %{}%", name));
    to.command = found;
    at_ = end;
    MIZZEN_CHECKED(arguments(to));
    MIZZEN_CHECKED(limit(to));
    if (!is('%')) return bad(fmt::format("%{} has no closing '%'", name));
    ++at_;
    return {};
  }

 private:
  bool is(char c) const { return at_ < text_.size() && text_[at_] == c; }

  Status arguments(FormatPiece& to) {
    const FormatCommand& command = *to.command;
    if (is('(')) {
      const std::size_t close = text_.find(')', at_);
      if (close == std::string_view::npos) {
        return bad(fmt::format("%{}( is not closed", command.name));
      }
      to.arguments = text_.substr(at_ + 1, close - at_ - 1);
      at_ = close + 1;
      if (!to.arguments.empty()) return check_arguments(command, to.arguments);
    }
    if (!needs_arguments(command.takes)) return {};
    return bad(fmt::format("%{}% needs a name in brackets", command.name));
  }

  Status limit(FormatPiece& to) {
    if (!is(':')) return {};
    const FormatCommand& command = *to.command;
    if (!needs_arguments(command.takes)) {
      return bad(fmt::format("%{}% takes no length", command.name));
    }
    const std::size_t close = text_.find('%', at_);
    const auto length = close == std::string_view::npos
                            ? std::nullopt
                            : parse_int<std::size_t>(text_.substr(at_ + 1, close - at_ - 1));
    if (!length) return bad(fmt::format("bad length in %{}", command.name));
    to.limit = *length;
    at_ = close;
    return {};
  }

  std::string_view text_;
  std::size_t at_;
};

}  // namespace

std::span<const FormatCommand> format_commands() { return kCommands; }

Result<std::vector<FormatPiece>> parse_format(std::string_view text) {
  std::vector<FormatPiece> pieces;
  FormatPiece piece;
  std::size_t at = 0;
  while (at < text.size()) {
    if (text[at] != '%') {
      piece.before += text[at++];
    } else if (text.substr(at).starts_with("%%")) {
      piece.before += '%';
      at += 2;
    } else {
      Reader reader(text, at);
      MIZZEN_CHECKED(reader.command(piece));
      at = reader.at();
      pieces.push_back(std::exchange(piece, {}));
    }
  }
  if (!piece.before.empty()) pieces.push_back(std::move(piece));
  return pieces;
}

}  // namespace mizzen::proxy
