#include "samples/shop/pictures.h"

#include <fmt/format.h>

#include <array>

namespace mizzen::samples::shop {
namespace {

struct Design {
  std::string_view name;
  std::string_view ground;   // background of the picture
  std::string_view wool;     // the sock
  std::string_view accent;   // heel, toe and cuff
  std::string_view pattern;  // an SVG pattern's content, 24 by 24, in `ink`
};

constexpr std::array kDesigns = {
    Design{
        "holy", "#f3ece3", "#d8a25e", "#8a4b2a",
        R"(<circle cx="6" cy="6" r="3.4" fill="#5b2f1a"/><circle cx="18" cy="18" r="3.4" fill="#5b2f1a"/>)"},
    Design{
        "colourful", "#eaf1f4", "#f4d35e", "#0d3b66",
        R"(<rect y="0" width="24" height="6" fill="#ee964b"/><rect y="6" width="24" height="6" fill="#f95738"/><rect y="12" width="24" height="6" fill="#3d8fb3"/>)"},
    Design{
        "super_sport", "#e9eef0", "#f7f7f5", "#20262e",
        R"(<rect y="2" width="24" height="4" fill="#20262e"/><rect y="9" width="24" height="2" fill="#c33c3c"/>)"},
    Design{"crossed", "#eef0f8", "#2f3e75", "#c33c54",
           R"(<path d="M0 0L24 24M24 0L0 24" stroke="#dfe5ff" stroke-width="1.6" fill="none"/>)"},
    Design{"figueroa", "#eef4ee", "#2f5d4a", "#d9c27a",
           R"(<path d="M0 12h24" stroke="#3f7a61" stroke-width="3"/>)"},
    Design{
        "cat", "#f6efe9", "#c98b5a", "#4a2f24",
        R"(<path d="M5 15V7l4 4h6l4-4v8a7 5 0 0 1-14 0z" fill="#4a2f24"/><circle cx="9.5" cy="14.5" r="1.1" fill="#f6d68a"/><circle cx="14.5" cy="14.5" r="1.1" fill="#f6d68a"/>)"},
    Design{
        "nerd_leg", "#e8f0f2", "#89b6c9", "#12303d",
        R"(<text x="3" y="11" font-family="monospace" font-size="10" fill="#12303d">01</text><text x="9" y="23" font-family="monospace" font-size="10" fill="#12303d">10</text>)"},
    Design{
        "weave", "#efeaf3", "#3b2f4a", "#e26d5c",
        R"(<path d="M0 4h10M14 4h10M0 16h4M8 16h16" stroke="#e26d5c" stroke-width="3"/><path d="M6 0v10M6 20v4M18 0v2M18 8v16" stroke="#f0c987" stroke-width="3"/>)"},
    Design{"classic", "#f1f0ea", "#6b705c", "#3f4238",
           R"(<path d="M12 0v24" stroke="#757a66" stroke-width="1"/>)"},
};

// One sock, its cuff at the top; 200 wide, 320 high.
constexpr std::string_view kOutline =
    "M62 20h78v150c0 22 12 34 34 44 22 10 26 26 20 44-6 20-26 30-52 30-44 0-80-30-80-84z";

std::string sock(const Design& design, std::string_view id) {
  return fmt::format(
      R"svg(<g><path d="{outline}" fill="{wool}"/><path d="{outline}" fill="url(#p{id})"/>)svg"
      R"svg(<clipPath id="c{id}"><path d="{outline}"/></clipPath>)svg"
      R"svg(<g clip-path="url(#c{id})" fill="{accent}"><rect x="50" y="10" width="110" height="34"/>)svg"
      R"svg(<circle cx="62" cy="222" r="40"/><circle cx="196" cy="262" r="38"/></g>)svg"
      R"svg(<path d="{outline}" fill="none" stroke="#00000022" stroke-width="3"/></g>)svg",
      fmt::arg("outline", kOutline), fmt::arg("wool", design.wool), fmt::arg("id", id),
      fmt::arg("accent", design.accent));
}

std::string drawn(const Design& design, bool pair) {
  std::string out = fmt::format(
      R"svg(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 450 450" role="img">)svg"
      R"svg(<defs><pattern id="pa" width="24" height="24" patternUnits="userSpaceOnUse">{}</pattern></defs>)svg"
      R"svg(<rect width="450" height="450" fill="{}"/>)svg"
      R"svg(<ellipse cx="225" cy="396" rx="150" ry="16" fill="#00000014"/>)svg",
      design.pattern, design.ground);
  if (pair) {
    out +=
        R"svg(<g transform="translate(60 62) rotate(-6 110 160)">)svg" + sock(design, "a") + "</g>";
    out +=
        R"svg(<g transform="translate(165 78) rotate(5 110 160)">)svg" + sock(design, "a") + "</g>";
  } else {
    out += R"svg(<g transform="translate(60 12) scale(1.32)">)svg" + sock(design, "a") + "</g>";
  }
  return out + "</svg>";
}

}  // namespace

std::string_view picture_name(std::size_t place) { return kDesigns[place % kDesigns.size()].name; }

std::optional<std::string> picture(std::string_view file) {
  bool pair = file.ends_with("_1.svg");
  if (!pair && !file.ends_with("_2.svg")) return std::nullopt;
  file.remove_suffix(6);
  for (const Design& design : kDesigns) {
    if (design.name == file) return drawn(design, pair);
  }
  return std::nullopt;
}

}  // namespace mizzen::samples::shop
