#include "proxy/http/path.h"

#include <vector>

#include "base/strings.h"

namespace mizzen::proxy {
namespace {

bool is_unreserved(char c) {  // RFC 3986 2.3
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

// Percent-encoded unreserved characters decoded; false for a broken escape or an encoded NUL.
bool decode_unreserved(std::string_view path, std::string& out) {
  out.clear();
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      out += path[i] == '\\' ? '/' : path[i];
      continue;
    }
    if (i + 2 >= path.size()) return false;
    int high = hex_value(path[i + 1]);
    int low = hex_value(path[i + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return false;
    char c = static_cast<char>(high * 16 + low);
    if (is_unreserved(c)) {
      out += c;
    } else {
      out.append(path.substr(i, 3));
    }
    i += 2;
  }
  return true;
}

// RFC 3986 5.2.4, keeping empty segments.
std::string without_dots(std::string_view path) {
  std::vector<std::string_view> kept;
  auto segments = split(path.substr(1), '/');
  bool slash_at_end = false;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    bool last = i + 1 == segments.size();
    if (segments[i] == ".") {
      slash_at_end = last;
    } else if (segments[i] == "..") {
      if (!kept.empty()) kept.pop_back();
      slash_at_end = last;
    } else {
      kept.push_back(segments[i]);
    }
  }
  std::string out;
  for (std::string_view segment : kept) {
    out += '/';
    out += segment;
  }
  if (slash_at_end || out.empty()) out += '/';
  return out;
}

bool unescape_slashes(std::string& path) {
  bool changed = false;
  std::string out;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '%' && i + 2 < path.size() &&
        (path.compare(i + 1, 2, "2f") == 0 || path.compare(i + 1, 2, "2F") == 0 ||
         path.compare(i + 1, 2, "5c") == 0 || path.compare(i + 1, 2, "5C") == 0)) {
      out += path[i + 1] == '2' ? '/' : '\\';
      i += 2;
      changed = true;
    } else {
      out += path[i];
    }
  }
  path.swap(out);
  return changed;
}

void merge_slashes(std::string& path) {
  std::string out;
  for (char c : path) {
    if (c != '/' || out.empty() || out.back() != '/') out += c;
  }
  path.swap(out);
}

bool needs_work(std::string_view path, const HttpSettings& settings) {
  for (std::size_t i = 0; i < path.size(); ++i) {
    char c = path[i];
    if (c == '%' || c == '\\') return true;
    if (c == '/' && i + 1 < path.size()) {
      if (path[i + 1] == '.') return true;
      if (path[i + 1] == '/' && settings.merge_slashes) return true;
    }
  }
  return false;
}

}  // namespace

PathVerdict normalize_path(std::string_view path, const HttpSettings& settings, std::string& out) {
  using Slashes = HttpSettings::EscapedSlashes;
  // Twice: find_first_of() calls memchr() for every character.
  std::string_view pure = path.substr(0, path.find('?'));
  pure = pure.substr(0, pure.find('#'));
  std::string_view query = path.substr(pure.size());
  if (pure.empty() || pure.front() != '/' || !needs_work(pure, settings)) {
    return PathVerdict::kUnchanged;
  }
  std::string text(pure);
  bool redirect = false;
  if (settings.escaped_slashes != Slashes::kKeep && unescape_slashes(text)) {
    if (settings.escaped_slashes == Slashes::kReject) return PathVerdict::kRefuse;
    redirect = settings.escaped_slashes == Slashes::kUnescapeRedirect;
  }
  if (settings.normalize_path) {
    if (!decode_unreserved(text, out)) return PathVerdict::kRefuse;
    text = without_dots(out);
  }
  if (settings.merge_slashes) merge_slashes(text);
  if (text == pure) return PathVerdict::kUnchanged;
  out = text.append(query);
  return redirect ? PathVerdict::kRedirect : PathVerdict::kChanged;
}

}  // namespace mizzen::proxy
