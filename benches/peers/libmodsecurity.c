/* Asks libmodsecurity which rules match. Requests come as frames on standard input: every field a little-endian length of
 * four bytes and the bytes; a request is method, target, version, number of headers (as a bare length), names and values,
 * body. One line of rule ids per request goes to standard output. Built by differential.py. */
#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void report(void *unused, const void *line) {
    (void)unused;
    const char *found = strstr((const char *)line, "[id \"");
    if (found) printf("%ld ", strtol(found + 5, NULL, 10));
}

static int number(uint32_t *out) {
    unsigned char raw[4];
    if (fread(raw, 1, 4, stdin) != 4) return 0;
    *out = (uint32_t)raw[0] | (uint32_t)raw[1] << 8 | (uint32_t)raw[2] << 16 | (uint32_t)raw[3] << 24;
    return 1;
}

/* A field, with a NUL behind it; NULL at the end of input. */
static char *field(uint32_t *length) {
    if (!number(length)) return NULL;
    char *text = malloc((size_t)*length + 1);
    if (!text || fread(text, 1, *length, stdin) != *length) exit(2);
    text[*length] = 0;
    return text;
}

static int judge(ModSecurity *engine, RulesSet *rules) {
    uint32_t length, headers;
    char *method = field(&length);
    if (!method) return 0;
    char *target = field(&length), *version = field(&length);
    if (!target || !version || !number(&headers)) exit(2);
    Transaction *transaction = msc_new_transaction(engine, rules, NULL);
    msc_process_connection(transaction, "127.0.0.1", 40000, "127.0.0.1", 80);
    msc_process_uri(transaction, target, method, version);
    for (uint32_t at = 0; at < headers; at++) {
        uint32_t name_length, value_length;
        char *name = field(&name_length), *value = field(&value_length);
        if (!name || !value) exit(2);
        msc_add_n_request_header(transaction, (unsigned char *)name, name_length, (unsigned char *)value, value_length);
        free(name);
        free(value);
    }
    char *body = field(&length);
    if (!body) exit(2);
    msc_process_request_headers(transaction);
    msc_append_request_body(transaction, (unsigned char *)body, length);
    msc_process_request_body(transaction);
    msc_process_logging(transaction);
    msc_transaction_cleanup(transaction);
    free(method);
    free(target);
    free(version);
    free(body);
    putchar('\n');
    fflush(stdout);
    return 1;
}

int main(int count, char **words) {
    const char *fault = NULL;
    if (count != 2) return fprintf(stderr, "usage: libmodsecurity RULES.conf < frames\n"), 2;
    ModSecurity *engine = msc_init();
    RulesSet *rules = msc_create_rules_set();
    msc_set_log_cb(engine, report);
    if (msc_rules_add_file(rules, words[1], &fault) < 0) return fprintf(stderr, "%s\n", fault), 1;
    while (judge(engine, rules)) {
    }
    return 0;
}
