/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

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
