#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "object/yaml.h"
#include "object/yaml_scalar.h"

namespace mizzen::object {
namespace {

// Words that YAML 1.1 readers take for booleans.
bool boolean_word(std::string_view text) {
  std::string word = lower(text);
  return word == "y" || word == "n" || word == "yes" || word == "no" || word == "on" ||
         word == "off";
}

bool looks_like_time(std::string_view text) {
  return text.size() >= 10 && text[4] == '-' && text[7] == '-' &&
         std::ranges::all_of(text.substr(0, 4), [](char c) { return c >= '0' && c <= '9'; });
}

bool plain_allowed(std::string_view text) {
  if (text.find_first_of(" \t") == 0 || text.find_last_of(" \t:") == text.size() - 1) return false;
  if (std::string_view("!&*?|>@`\"'%#{}[],").find(text[0]) != std::string_view::npos) return false;
  if (text[0] == '-' && (text.size() == 1 || text[1] == ' ' || text.starts_with("---")))
    return false;
  if (text[0] == ':' && (text.size() == 1 || text[1] == ' ')) return false;
  if (text == "=" || text == "<<" || text.starts_with("...")) return false;
  return text.find(": ") == text.npos && text.find(" #") == text.npos;
}

std::string double_quoted(std::string_view text) {
  std::string out = Json(std::string(text)).dump(-1, ' ', false, Json::error_handler_t::replace);
  return out;
}

bool printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 ? byte != 0x7f : c == '\n' || c == '\t';
  });
}

std::string scalar_text(const std::string& text) {
  if (text.empty()) return "\"\"";
  bool other = !plain_scalar(text).is_string() || boolean_word(text) || looks_like_time(text);
  if (other || !printable(text) || text.find('\t') != text.npos) return double_quoted(text);
  if (plain_allowed(text)) return text;
  std::string out = "'";
  for (char c : text) out += c == '\'' ? "''" : std::string(1, c);
  return out + "'";
}

class Writer {
 public:
  std::string take() { return std::move(out_); }

  void value(const Json& json, int indent) {
    if (json.is_object()) return object(json, indent);
    if (json.is_array()) return list(json, indent);
    line(json, indent);
  }

 private:
  // A scalar and the end of its line.
  void line(const Json& json, int indent) {
    if (!json.is_string()) {
      out_ += json.is_structured() ? (json.is_array() ? "[]" : "{}") : json.dump();
      out_ += '\n';
      return;
    }
    const std::string& text = json.get_ref<const std::string&>();
    bool block = text.find('\n') != text.npos && printable(text) && text[0] != ' ' &&
                 text[0] != '\n' && text.find(" \n") == text.npos && text.find('\t') == text.npos;
    if (!block) {
      out_ += text.find('\n') == text.npos ? scalar_text(text) : double_quoted(text);
      out_ += '\n';
      return;
    }
    std::string_view body = text;
    std::size_t newlines = text.size() - text.find_last_not_of('\n') - 1;
    out_ += newlines == 0 ? "|-\n" : newlines == 1 ? "|\n" : "|+\n";
    if (newlines > 0) body.remove_suffix(1);
    for (std::string_view part : split(body, '\n')) {
      if (!part.empty()) out_.append(static_cast<std::size_t>(indent), ' ').append(part);
      out_ += '\n';
    }
  }
  void object(const Json& json, int indent) {
    if (json.empty()) return line(json, indent);
    bool first = true;
    for (const auto& [key, item] : json.items()) {
      if (!first || !inline_) out_.append(static_cast<std::size_t>(indent), ' ');
      first = false;
      inline_ = false;
      out_ += scalar_text(key) + ":";
      if (item.is_structured() && !item.empty()) {
        out_ += '\n';
        // Lists stand at their key's own column, as kubectl prints them.
        value(item, item.is_array() ? indent : indent + 2);
      } else {
        out_ += ' ';
        line(item, indent + 2);
      }
    }
  }
  void list(const Json& json, int indent) {
    if (json.empty()) return line(json, indent);
    bool first = true;
    for (const Json& item : json) {
      if (!first || !inline_) out_.append(static_cast<std::size_t>(indent), ' ');
      first = false;
      out_ += "- ";
      inline_ = true;
      if (item.is_structured() && !item.empty()) {
        value(item, indent + 2);
      } else {
        line(item, indent + 2);
      }
      inline_ = false;
    }
  }

  std::string out_;
  bool inline_ = false;  // the indent of the next line is already written
};

}  // namespace

std::string to_yaml(const Json& value) {
  Writer writer;
  writer.value(value, 0);
  return writer.take();
}

}  // namespace mizzen::object
