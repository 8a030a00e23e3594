#include "local/runtime/catalogue.h"

#include <fmt/core.h>

#include <fstream>
#include <sstream>

#include "base/strings.h"

namespace mizzen::local {
namespace {

using Words = std::vector<std::string>;

// Words as a shell splits them: quotes and backslashes, no expansion.
Words shell_words(std::string_view line) {
  Words words;
  std::string word;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    char c = line[i];
    if (quote != 0) {
      if (c == quote)
        quote = 0;
      else
        word.push_back(c);
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == '\\' && i + 1 < line.size()) {
      word.push_back(line[++i]);
      in_word = true;
    } else if (c == ' ' || c == '\t') {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
    } else {
      word.push_back(c);
      in_word = true;
    }
  }
  if (in_word) words.push_back(word);
  return words;
}

std::string quoted(const std::string& word) {
  if (!word.empty() && word.find_first_of(" \t'\"\\#") == std::string::npos) return word;
  std::string out = "'";
  for (char c : word) out += c == '\'' ? std::string("'\"'\"'") : std::string(1, c);
  return out + "'";
}

CatalogueEntry sample(std::string pattern, Words command) {
  command.insert(command.begin(), "mizzen-samples");
  return {std::move(pattern), command, command, {}};
}

std::vector<CatalogueEntry> builtin_entries_of_mizzen() {
  std::vector<CatalogueEntry> out;
  for (const char* version : {"v1", "v2", "v3"}) {
    std::string v = version;
    for (const char* app : {"productpage", "details", "reviews", "ratings"}) {
      out.push_back(
          sample(fmt::format("*examples-bookinfo-{}-{}:*", app, v), {app, "--version", v}));
    }
    out.push_back(
        sample(fmt::format("*examples-helloworld-{}:*", v), {"helloworld", "--version", v}));
  }
  for (const char* pattern : {"*httpbin:*", "*httpbin-gunicorn:*"}) {
    out.push_back(sample(pattern, {"httpbin"}));
  }
  out.push_back(sample("*tcp-echo-server:*", {"tcp-echo"}));
  for (const char* name : {"mizzen/samples", "mizzen-samples"}) {
    out.push_back({fmt::format("{}:*", name), {"mizzen-samples"}, {"mizzen-samples"}, {}});
  }
  for (const char* name :
       {"*mizzen/proxyv2:*", "*istio/proxyv2:*", "*release/proxyv2:*", "auto:*"}) {
    out.push_back({name, {"mizzen-proxy"}, {"mizzen-proxy"}, {}});
  }
  for (const char* name : {"*mizzen/pilot:*", "*istio/pilot:*"}) {
    out.push_back({name, {"mizzend"}, {"mizzend"}, {}});
  }
  for (const char* name : {"*mizzen/curl:*", "*curlimages/curl:*", "*governmentpaas/curl-ssl:*",
                           "*pstauffer/curl:*"}) {
    out.push_back({name, {"sleep", "infinity"}, {"curl"}, {}});
  }
  for (const char* name : {"busybox:*", "alpine:*", "debian:*", "ubuntu:*"}) {
    out.push_back({name, {"sh"}, {}, {}});
  }
  out.push_back(
      {"redis:*", {"redis-server", "--protected-mode", "no", "--save", ""}, {"redis-server"}, {}});
  out.push_back({"nginx:*", {"nginx", "-g", "daemon off;"}, {"nginx"}, {}});
  return out;
}

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::string canonical_image(std::string_view image) {
  if (auto digest = image.find('@'); digest != std::string_view::npos)
    image = image.substr(0, digest);
  for (std::string_view prefix :
       {"docker.io/library/", "docker.io/", "index.docker.io/", "library/"}) {
    if (image.starts_with(prefix)) {
      image.remove_prefix(prefix.size());
      break;
    }
  }
  std::string out(image);
  auto slash = out.rfind('/');
  if (out.find(':', slash == std::string::npos ? 0 : slash) == std::string::npos) out += ":latest";
  return out;
}

Catalogue::Catalogue() : builtin_(builtin_entries_of_mizzen()) {}

Status Catalogue::load(const std::string& path) {
  user_.clear();
  std::ifstream file(path);
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (trim(line).empty() || trim(line).starts_with('#')) continue;
    Words words = shell_words(line);
    if (words.size() < 2) {
      return fail(Code::kInvalid,
                  fmt::format("{}:{}: a pattern and a command are needed", path, number));
    }
    std::string pattern = words[0];
    words.erase(words.begin());
    user_.push_back({pattern, words, words, {}});
  }
  return {};
}

const CatalogueEntry* Catalogue::find(std::string_view image) const {
  std::string name = canonical_image(image);
  for (const auto* entries : {&user_, &builtin_}) {
    for (const CatalogueEntry& entry : *entries) {
      if (glob_matches(entry.pattern, name) || glob_matches(entry.pattern, image)) return &entry;
      // A pattern without a tag stands for every tag.
      auto slash = entry.pattern.rfind('/');
      bool tagged =
          entry.pattern.find(':', slash == std::string::npos ? 0 : slash) != std::string::npos;
      if (!tagged && glob_matches(entry.pattern + ":*", name)) return &entry;
    }
  }
  return nullptr;
}

Result<Program> Catalogue::resolve(std::string_view image, const Words& command,
                                   const Words& args) const {
  const CatalogueEntry* entry = find(image);
  if (entry == nullptr) {
    return fail(
        Code::kNotFound,
        fmt::format("no program on this machine stands for image \"{}\"; map it: mizzen-local "
                    "images add '{}' COMMAND [ARG...]",
                    image, canonical_image(image)));
  }
  Program program{{}, entry->env};
  if (!command.empty()) {
    program.argv = command;
    program.argv.insert(program.argv.end(), args.begin(), args.end());
  } else if (!args.empty()) {
    program.argv = entry->entrypoint;
    program.argv.insert(program.argv.end(), args.begin(), args.end());
  } else {
    program.argv = entry->command;
  }
  return program;
}

namespace {

Result<std::string> without_pattern(const std::string& path, const std::string& pattern,
                                    bool* found) {
  std::ifstream in(path);
  std::string out;
  for (std::string line; std::getline(in, line);) {
    Words words = shell_words(line);
    if (!words.empty() && words[0] == pattern) {
      *found = true;
      continue;
    }
    out += line + "\n";
  }
  return out;
}

Status write_whole(const std::string& path, const std::string& text) {
  std::string next = path + ".new";
  std::ofstream out(next, std::ios::trunc);
  out << text;
  out.close();
  if (!out || std::rename(next.c_str(), path.c_str()) != 0) {
    return fail(Code::kInternal, "cannot write " + path);
  }
  return {};
}

}  // namespace

Status add_to_catalogue(const std::string& path, const std::string& pattern, const Words& command) {
  bool found = false;
  MIZZEN_TRY(std::string text, without_pattern(path, pattern, &found));
  text += quoted(pattern);
  for (const std::string& word : command) text += " " + quoted(word);
  return write_whole(path, text + "\n");
}

Status remove_from_catalogue(const std::string& path, const std::string& pattern) {
  bool found = false;
  MIZZEN_TRY(std::string text, without_pattern(path, pattern, &found));
  if (!found) return fail(Code::kNotFound, "no entry of yours has the pattern " + pattern);
  return write_whole(path, text);
}

}  // namespace mizzen::local
