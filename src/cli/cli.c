/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

int cli_open(struct cli *cli, struct err *e)
{
	if (cli->db.conn)
		return 0;
	if (!cli->home.path && home_init(&cli->home, e) < 0)
		return -1;
	if (db_open(&cli->db, &cli->home, e) == 0)
		return 0;
	if (e->code != ERR_NO_SPACE)
		return -1;
	home_spare_release(&cli->home);
	return db_open(&cli->db, &cli->home, e);
}

int cli_open_to_remove(struct cli *cli, struct err *e)
{
	if (home_init(&cli->home, e) < 0)
		return -1;
	home_spare_release_if_full(&cli->home);
	return cli_open(cli, e);
}

int cli_confirm(const char *what, const char *question, struct err *e)
{
	char answer[16];

	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
		err_set(e, ERR_INVALID, "nobody can confirm that %s are to be removed", what);
		return err_hint(e, "confirm it with --yes, or see what would go with --dry-run");
	}
	fprintf(stderr, "%s [y/N] ", question);
	if (!fgets(answer, sizeof(answer), stdin))
		return 0;
	answer[strcspn(answer, "\n")] = '\0';
	return strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0;
}
