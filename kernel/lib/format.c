/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * format.c - snprintf.
 *
 * A conversion is parsed into a struct spec, its digits are made in a small buffer, and one
 * function pads them. Output goes through a bounded cursor that counts what does not fit.
 */
#include "lib/format.h"

#include "lib/string.h"

struct out {
    char *buf;
    size_t size, len;
};

struct spec {
    bool left, zero, plus, space, alternate;
    int width;
    int precision; /* -1: none given */
    enum {
        LEN_INT,
        LEN_CHAR,
        LEN_SHORT,
        LEN_LONG,
        LEN_LLONG,
        LEN_SIZE,
        LEN_MAX,
        LEN_PTRDIFF
    } length;
    char conversion;
};

/* va_list may be an array type; inside a structure it can be passed by pointer. */
struct args {
    va_list list;
};

static void put(struct out *o, char c)
{
    if (o->len + 1 < o->size)
        o->buf[o->len] = c;
    o->len++;
}

static void put_repeated(struct out *o, char c, int count)
{
    for (; count > 0; count--)
        put(o, c);
}

static void put_text(struct out *o, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        put(o, text[i]);
}

/* Parse a decimal number, saturating: no width is near the limit. */
static int parse_number(const char **fmt)
{
    int n = 0;
    for (; **fmt >= '0' && **fmt <= '9'; ++*fmt)
        n = n < 100000 ? n * 10 + (**fmt - '0') : n;
    return n;
}

static void parse_flags(const char **fmt, struct spec *s)
{
    for (;; ++*fmt) {
        switch (**fmt) {
        case '-':
            s->left = true;
            break;
        case '0':
            s->zero = true;
            break;
        case '+':
            s->plus = true;
            break;
        case ' ':
            s->space = true;
            break;
        case '#':
            s->alternate = true;
            break;
        default:
            return;
        }
    }
}

static void parse_length(const char **fmt, struct spec *s)
{
    s->length = LEN_INT;
    switch (**fmt) {
    case 'h':
        s->length = *++*fmt == 'h' ? ++*fmt, LEN_CHAR : LEN_SHORT;
        break;
    case 'l':
        s->length = *++*fmt == 'l' ? ++*fmt, LEN_LLONG : LEN_LONG;
        break;
    case 'z':
        ++*fmt;
        s->length = LEN_SIZE;
        break;
    case 'j':
        ++*fmt;
        s->length = LEN_MAX;
        break;
    case 't':
        ++*fmt;
        s->length = LEN_PTRDIFF;
        break;
    default:
        break;
    }
}

/* *fmt stands behind the '%'; afterwards behind the conversion. */
static struct spec parse_spec(const char **fmt, struct args *args)
{
    struct spec s = {.precision = -1};
    parse_flags(fmt, &s);
    if (**fmt == '*') {
        ++*fmt;
        s.width = va_arg(args->list, int);
        if (s.width < 0) {
            s.left = true;
            s.width = s.width == INT_MIN ? INT_MAX : -s.width;
        }
    } else {
        s.width = parse_number(fmt);
    }
    if (**fmt == '.') {
        ++*fmt;
        if (**fmt == '*') {
            ++*fmt;
            s.precision = va_arg(args->list, int);
        } else {
            s.precision = parse_number(fmt);
        }
    }
    parse_length(fmt, &s);
    s.conversion = **fmt;
    if (**fmt)
        ++*fmt;
    return s;
}

static uint64_t fetch_unsigned(const struct spec *s, struct args *args)
{
    switch (s->length) {
    case LEN_CHAR:
        return (unsigned char)va_arg(args->list, unsigned);
    case LEN_SHORT:
        return (unsigned short)va_arg(args->list, unsigned);
    case LEN_INT:
        return va_arg(args->list, unsigned);
    default: /* all the others are 64 bits wide on our machines */
        return va_arg(args->list, uint64_t);
    }
}

static int64_t fetch_signed(const struct spec *s, struct args *args)
{
    switch (s->length) {
    case LEN_CHAR:
        return (signed char)va_arg(args->list, int);
    case LEN_SHORT:
        return (short)va_arg(args->list, int);
    case LEN_INT:
        return va_arg(args->list, int);
    default:
        return va_arg(args->list, int64_t);
    }
}

/* sign/prefix, precision zeroes, digits, padded to the width (C17 7.21.6.1). */
static void put_number(struct out *o, const struct spec *s, const char *prefix, const char *digits,
                       int count)
{
    int prefix_len = (int)strlen(prefix);
    int zeroes = s->precision > count ? s->precision - count : 0;
    int pad = s->width - prefix_len - zeroes - count;
    if (s->zero && !s->left && s->precision < 0 && pad > 0) {
        zeroes = pad;
        pad = 0;
    }
    if (!s->left)
        put_repeated(o, ' ', pad);
    put_text(o, prefix, (size_t)prefix_len);
    put_repeated(o, '0', zeroes);
    put_text(o, digits, (size_t)count);
    if (s->left)
        put_repeated(o, ' ', pad);
}

static void put_integer(struct out *o, const struct spec *s, uint64_t value, unsigned base,
                        const char *prefix)
{
    char buf[24]; /* 2^64 in octal has 22 digits */
    const char *letters = s->conversion == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    int count = 0;
    for (uint64_t v = value; v; v /= base)
        buf[sizeof buf - 1 - (size_t)count++] = letters[v % base];
    if (value == 0 && s->precision != 0)
        buf[sizeof buf - 1 - (size_t)count++] = '0';
    if (s->conversion == 'o' && s->alternate && s->precision <= count &&
        !(count && buf[sizeof buf - (size_t)count] == '0'))
        buf[sizeof buf - 1 - (size_t)count++] = '0';
    put_number(o, s, prefix, buf + sizeof buf - count, count);
}

static void put_string(struct out *o, const struct spec *s, const char *text)
{
    if (!text)
        text = "(null)";
    size_t len = s->precision >= 0 ? strnlen(text, (size_t)s->precision) : strlen(text);
    int pad = len < (size_t)s->width ? s->width - (int)len : 0;
    if (!s->left)
        put_repeated(o, ' ', pad);
    put_text(o, text, len);
    if (s->left)
        put_repeated(o, ' ', pad);
}

static void put_signed(struct out *o, const struct spec *s, int64_t value)
{
    const char *sign = value < 0 ? "-" : s->plus ? "+" : s->space ? " " : "";
    put_integer(o, s, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10, sign);
}

static void put_pointer(struct out *o, struct spec *s, uintptr_t value)
{
    s->conversion = 'x';
    put_integer(o, s, value, 16, "0x");
}

static void put_hex(struct out *o, const struct spec *s, uint64_t value)
{
    const char *prefix = s->conversion == 'X' ? "0X" : "0x";
    put_integer(o, s, value, 16, s->alternate && value ? prefix : "");
}

static void put_conversion(struct out *o, struct spec *s, struct args *args)
{
    char c;
    switch (s->conversion) {
    case 'd':
    case 'i':
        put_signed(o, s, fetch_signed(s, args));
        break;
    case 'u':
        put_integer(o, s, fetch_unsigned(s, args), 10, "");
        break;
    case 'x':
    case 'X':
        put_hex(o, s, fetch_unsigned(s, args));
        break;
    case 'o':
        put_integer(o, s, fetch_unsigned(s, args), 8, "");
        break;
    case 'p':
        put_pointer(o, s, (uintptr_t)va_arg(args->list, void *));
        break;
    case 'c':
        c = (char)va_arg(args->list, int);
        s->precision = 0;
        s->width -= 1;
        if (!s->left)
            put_string(o, s, "");
        put(o, c);
        if (s->left)
            put_string(o, s, "");
        break;
    case 's':
        put_string(o, s, va_arg(args->list, const char *));
        break;
    case '%':
        put(o, '%');
        break;
    case 0: /* the format ended inside a conversion */
        break;
    default: /* show what we do not know */
        put(o, '%');
        put(o, s->conversion);
        break;
    }
}

int vsnprintf(char *buf, size_t size, const char *fmt, va_list list)
{
    struct out o = {buf, size, 0};
    struct args args;
    va_copy(args.list, list);
    while (*fmt) {
        if (*fmt != '%') {
            put(&o, *fmt++);
            continue;
        }
        fmt++;
        struct spec s = parse_spec(&fmt, &args);
        put_conversion(&o, &s, &args);
    }
    va_end(args.list);
    if (size)
        buf[o.len < size ? o.len : size - 1] = 0;
    return (int)o.len;
}

int snprintf(char *buf, size_t size, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(buf, size, fmt, args);
    va_end(args);
    return n;
}
